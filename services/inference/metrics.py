"""What Prometheus reads of the models process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from services.inference.batching import Block
from services.inference.local import LocalModels

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Counters of one process, in a registry of their own.

    Stages: `load` and `tokenise` per request, `queue` (of a block's oldest piece) and `compute` per block,
    `request` from receipt to answer.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "msm_models_requests", "Requests by endpoint and outcome.", ["endpoint", "outcome"],
            registry=self._registry,
        )  # fmt: skip
        self.stages = Histogram(
            "msm_models_seconds", "Latency by stage.", ["stage"], buckets=_SECONDS, registry=self._registry
        )
        self.rows = Histogram(
            "msm_models_block_rows", "Texts or pairs computed together.", ["model"], buckets=_SIZES,
            registry=self._registry,
        )  # fmt: skip
        self.tokens = Counter(
            "msm_models_tokens", "Tokens computed, padding left out.", ["model"], registry=self._registry
        )
        self.queue = Gauge("msm_models_queue_tokens", "Tokens that wait.", registry=self._registry)
        self.shared = Gauge(
            "msm_models_shared_pieces", "Texts that were being computed for somebody else, so far.",
            registry=self._registry,
        )  # fmt: skip
        self.loaded = Gauge("msm_models_loaded_bytes", "Files of loaded models.", registry=self._registry)

    def block(self, block: Block) -> None:
        """Count a block."""
        self.rows.labels(block.runner).observe(block.rows)
        self.tokens.labels(block.runner).inc(block.tokens)
        self.stage("compute", block.seconds)
        self.stage("queue", block.waited)

    def stage(self, stage: str, seconds: float) -> None:
        """Count a stage's time."""
        self.stages.labels(stage).observe(seconds)

    def shown(self, models: LocalModels) -> bytes:
        """The text that Prometheus reads."""
        self.queue.set(models.queries.queued + models.passages.queued)
        self.shared.set(models.queries.shared + models.passages.shared)
        self.loaded.set(models.shelf.bytes)
        return generate_latest(self._registry)
