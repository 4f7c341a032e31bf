"""Counters for `/metrics`, one registry per application."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 30)


class Metrics:
    """What is counted. Labels are routes and codes, never what a caller wrote."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "msm_http_requests", "Requests that were answered.", ["method", "route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "msm_http_seconds", "From receipt to the end of the answer.", ["route"], buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.under_way = Gauge("msm_http_under_way", "Requests under way.", registry=self.registry)
        self.left = Counter(
            "msm_http_left", "Requests that were dropped because their sender left.", registry=self.registry
        )
        self.degraded = Counter(
            "msm_search_degraded", "Searches that were answered without a part.", ["what", "why"],
            registry=self.registry,
        )  # fmt: skip
        self.reranked = Counter("msm_search_reranked", "Passages reranked.", registry=self.registry)
        self.refused = Counter(
            "msm_keys_refused", "Requests without a key that counts, by reason.", ["why"],
            registry=self.registry,
        )  # fmt: skip
        self.unlogged = Gauge(
            "msm_searches_dropped", "Searches that could not be logged.", registry=self.registry
        )

    def text(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self.registry)
