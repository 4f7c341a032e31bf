"""Bi-encoder by MultipleNegativesRankingLoss: a query's positive against its own and all other passages."""

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

_SCALES = {"cosine": 20.0, "dot": 1.0}  # sentence-transformers' own


class Mnrl:
    """See `services.training.methods.Method`. An example is (query, positive, negative_1 …).

    A positive with fewer negatives than asked for is left out: the loss needs columns of one length.
    """

    makes = "bi-encoder"
    adds_up = False

    def examples(self, block: CandidateBlock, drawn: Drawn, recipe: Recipe) -> Rows:
        """See `Method`."""
        positive, pairs = drawn
        full = (pairs >= 0).all(axis=1)
        positive, pairs = positive[full], pairs[full]
        rows = {
            "qord": block.qords[block.positives.query[positive]],
            "positive": block.positives.ords[positive],
        }
        rows |= {f"negative_{n + 1}": block.pairs.ords[pairs[:, n]] for n in range(pairs.shape[1])}
        return {name: column.astype(np.int32) for name, column in rows.items()}

    def batches(
        self, examples: Examples, rows: Index, size: int, lengths: Lengths, seed: Seed
    ) -> list[Index]:
        """No query twice in a batch, and no passage that is no negative of another query in it.

        Every other passage of a batch is a negative, so such a passage would teach the wrong thing. What
        fits into no batch of the pool is left out of this epoch.
        """
        columns, apart = examples.rows, examples.apart
        passages = np.stack([column for name, column in columns.items() if name != "qord"], axis=1)
        batches = [_Batch(size) for _ in range(-(-len(rows) // size))]
        full = 0
        for row in rows.tolist():
            qord = int(columns["qord"][row])
            lo, hi = np.searchsorted(apart["qord"], [qord, qord + 1])
            taker = (qord, set(passages[row].tolist()), set(apart["ord"][lo:hi].tolist()))
            next((batch for batch in batches[full:] if batch.takes(row, *taker)), None)
            while full < len(batches) and len(batches[full].rows) == size:
                full += 1
        return [np.array(batch.rows, np.int64) for batch in batches]

    def columns(self, rows: Rows, texts: Texts) -> dict[str, Any]:
        """Texts: query, positive, negatives."""
        return {
            ("query" if name == "qord" else name): (texts.query if name == "qord" else texts.passage)(
                column.tolist()
            )
            for name, column in rows.items()
        }

    def model(self, base: Base, recipe: Recipe, device: str) -> Any:
        """The base's encoder, pooled as its system says."""
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

        encoder = Transformer(
            base.transformer,
            max_seq_length=recipe.max_length,
            model_kwargs=WEIGHTS | {"local_files_only": True},
            config_kwargs=config(recipe),
        )
        modules: list[Any] = [encoder, Pooling(encoder.get_embedding_dimension(), base.pooling)]
        if base.normalize:
            modules.append(Normalize())
        return SentenceTransformer(
            modules=modules, device=device, prompts=base.prompts, similarity_fn_name=base.similarity
        )

    def reopened(self, folder: str, device: str) -> Any:
        """See `Method`."""
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(folder, device=device, local_files_only=True, model_kwargs=WEIGHTS)

    def loss(self, model: Any, recipe: Recipe, size: int | None = None) -> Any:
        """With the model's own similarity; in pieces by gradient caching (Gao et al., 2021, GradCache)."""
        from sentence_transformers.sentence_transformer import losses
        from sentence_transformers.util import cos_sim, dot_score

        similarity = str(model.similarity_fn_name)
        scale = recipe.loss.scale or _SCALES[similarity]
        compare = cos_sim if similarity == "cosine" else dot_score
        if size is None:
            return losses.MultipleNegativesRankingLoss(model, scale=scale, similarity_fct=compare)
        return losses.CachedMultipleNegativesRankingLoss(
            model, scale=scale, similarity_fct=compare, mini_batch_size=size
        )

    def trainer(self) -> tuple[Any, Any]:
        """See `Method`."""
        from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

        return SentenceTransformerTrainer, SentenceTransformerTrainingArguments

    def scores(
        self, model: Any, queries: list[str], passages: list[str], size: int
    ) -> npt.NDArray[np.float32]:
        """Similarities; the texts have their prompts already."""
        sides = [
            model.encode(side, prompt="", batch_size=size, show_progress_bar=False)
            for side in (queries, passages)
        ]
        return np.asarray(model.similarity_pairwise(*sides), np.float32)


class _Batch:
    """Rows that may stand side by side."""

    def __init__(self, size: int) -> None:
        self.rows: list[int] = []
        self._size = size
        self._queries: set[int] = set()
        self._passages: set[int] = set()
        self._no_negatives: set[int] = set()

    def takes(self, row: int, qord: int, passages: set[int], no_negatives: set[int]) -> bool:
        """Add a row, if there is room and it does not disagree with those that are there."""
        if (
            len(self.rows) == self._size
            or qord in self._queries
            or passages & self._no_negatives
            or no_negatives & self._passages
        ):
            return False
        self.rows.append(row)
        self._queries.add(qord)
        self._passages |= passages
        self._no_negatives |= no_negatives
        return True
