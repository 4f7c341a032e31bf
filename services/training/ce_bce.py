"""Cross-encoder by binary cross-entropy: positives are 1, mined negatives 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from services.negatives.block import CandidateBlock, Index
from services.training.loading import WEIGHTS, config
from services.training.methods import Drawn, Examples, Lengths, Rows, Seed, Texts

if TYPE_CHECKING:
    from services.training.base import Base
    from services.training.recipe import Recipe


class CeBce:
    """See `services.training.methods.Method`. An example is (query, passage, label)."""

    makes = "cross-encoder"
    adds_up = True

    def examples(self, block: CandidateBlock, drawn: Drawn, recipe: Recipe) -> Rows:
        """Positives that a negative was drawn for, and these; a passage drawn twice for a query counts once.

        A query without negatives would only teach that everything is relevant.
        """
        beside = drawn[0][(drawn[1] >= 0).any(axis=1)]
        pairs = np.unique(drawn[1][drawn[1] >= 0])
        query = np.concatenate([block.positives.query[beside], block.pairs.query[pairs]])
        ords = np.concatenate([block.positives.ords[beside], block.pairs.ords[pairs]])
        label = np.repeat([1, 0], [len(beside), len(pairs)])
        order = np.lexsort((-label, query))
        return {
            "qord": block.qords[query[order]].astype(np.int32),
            "ord": ords[order].astype(np.int32),
            "label": label[order].astype(np.int32),
        }

    def batches(
        self, examples: Examples, rows: Index, size: int, lengths: Lengths, seed: Seed
    ) -> list[Index]:
        """Examples of about equal length together, the batches shuffled: little is spent on padding."""
        tokens = lengths({name: column[rows] for name, column in examples.rows.items()})
        ordered = rows[np.argsort(tokens, kind="stable")]
        cut = [ordered[at : at + size] for at in range(0, len(ordered), size)]
        return [cut[n] for n in np.random.default_rng(seed).permutation(len(cut))]

    def columns(self, rows: Rows, texts: Texts) -> dict[str, Any]:
        """Texts and a float label."""
        return {
            "query": texts.query(rows["qord"].tolist()),
            "passage": texts.passage(rows["ord"].tolist()),
            "label": rows["label"].astype(np.float32),
        }

    def model(self, base: Base, recipe: Recipe, device: str) -> Any:
        """The base with a classifier of one label, fresh unless the base is a cross-encoder."""
        from sentence_transformers import CrossEncoder
        from torch.nn import Identity

        return CrossEncoder(
            base.transformer,
            num_labels=1,
            max_length=recipe.max_length,
            activation_fn=Identity(),  # scores are logits: the sigmoid would flatten all that is sure
            device=device,
            local_files_only=True,
            model_kwargs=WEIGHTS,
            config_kwargs=config(recipe),
        )

    def reopened(self, folder: str, device: str) -> Any:
        """See `Method`."""
        from sentence_transformers import CrossEncoder

        return CrossEncoder(folder, device=device, local_files_only=True, model_kwargs=WEIGHTS)

    def loss(self, model: Any, recipe: Recipe, size: int | None = None) -> Any:
        """See `Method`."""
        from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

        return BinaryCrossEntropyLoss(model)

    def trainer(self) -> tuple[Any, Any]:
        """See `Method`."""
        from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments

        return CrossEncoderTrainer, CrossEncoderTrainingArguments

    def scores(
        self, model: Any, queries: list[str], passages: list[str], size: int
    ) -> npt.NDArray[np.float32]:
        """Logits."""
        pairs = list(zip(queries, passages, strict=True))
        found = model.predict(pairs, batch_size=size, show_progress_bar=False)
        return np.asarray(found, np.float32)
