"""Answers native retriever trees: leaves by the node, in one `_msearch`; fusion and reranking here.

It works on any index. What the caller may not read, the node refuses in its own words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.deadline import Deadline
from services.errors import MsmError, NotFound, UsageError
from services.gateway import fusing, page, retriever
from services.gateway.body import SearchBody
from services.gateway.fusing import Document, Found
from services.gateway.native import bad, natural
from services.gateway.node import Node, Search
from services.gateway.page import Matches, Source, Wanted
from services.gateway.params import Params
from services.gateway.retriever import Compound, Leaf, Reranker, Rrf, Tree
from services.inference.models import ModelService
from services.search.failures import Failure, nothing_left
from services.search.served import ServedVersions

Clause = dict[str, Any]

_PASSED_ON = frozenset({"pit", "runtime_mappings", "indices_boost"})
OWN = _PASSED_ON | {"retriever"}
MOST_HITS = 100_000
"""Of all leaves together: they are in memory until they are fused."""
_LIMITING = frozenset({"min_score", "terminate_after", "collapse", "search_after", "sort"})


@dataclass
class Retrieval:
    """One request under way.

    Attributes:
        node: As the caller.
        tree: What is asked.
        models: For texts that are to be encoded, and for reranking.
        served: Knows which cross-encoder is meant where none is named.
        index: Where is searched; None with a point in time, or for all indices.
        header: The same as a header line, and what the URL says of it.
        body: Of the request.
        params: Of the URL.
        deadline: For the models.
        failures: What is missing from the answer.
    """

    node: Node
    tree: Compound
    models: ModelService
    served: ServedVersions
    index: str | None
    header: Clause
    body: SearchBody
    params: Params
    deadline: Deadline
    failures: list[Failure] = field(default_factory=list)

    async def answer(self) -> Clause:
        """The answer in native shape, but for `took`.

        Raises:
            Refused: the request is not in order, or the node refuses a part of it.
        """
        tree = self.tree
        if self.body.query:
            raise bad("cannot specify [retriever] and [query]")
        if self.body.fetch.get("stored_fields") in ("_none_", ["_none_"]):
            raise bad("[retriever] cannot be used with [stored_fields: _none_]: hits are told by their _id")
        if self.body.size > tree.window:
            raise bad(
                f"[{self.name}] requires [rank_window_size: {tree.window}]"
                f" be greater than or equal to [size: {self.body.size}]"
            )
        windows = list(retriever.windows(tree))
        if sum(windows) > MOST_HITS:
            raise bad(f"the retrievers rank {sum(windows)} hits together; at most {MOST_HITS} are read")
        asked = zip(retriever.leaves(tree), windows, strict=True)
        pairs = [(ready, window) for leaf, window in asked if (ready := await self._encoded(leaf))]
        if not pairs and (error := nothing_left(self.failures, alive=True)):
            raise natural(error)
        leaves = [leaf for leaf, _ in pairs]
        searches = [self._search(leaf, window) for leaf, window in pairs]
        items = await self.node.msearch(searches) if searches else []
        found = {leaf.name: _found(leaf, item) for leaf, item in zip(leaves, items, strict=True)}
        ranking = await self._rank(tree, found)
        shown = ranking[self.body.start : self.body.start + self.body.size]
        answer = await page.complete(
            self.node,
            [Wanted(one.document, one.score, self._why(place, one)) for place, one in enumerate(shown)],
            Source(self.header, _these([one.document for one in shown]), _document, self._passed_on),
            Matches(_union(leaves, found), self._passed_on),
            self.body,
            _asked(leaves),
            ranking[0].score if ranking else None,
            typed_keys=self.params.form.typed_keys,
        )
        late = any(item["timed_out"] for item in items)
        return {"timed_out": late, **answer}

    @property
    def name(self) -> str:
        """Of the retriever at the top: `rrf`, `linear`, `text_similarity_reranker`."""
        return str(next(iter(self.body.own["retriever"])))

    # -- what the node is asked --------------------------------------------------------------------

    @property
    def _passed_on(self) -> Clause:
        return {key: value for key, value in self.body.own.items() if key in _PASSED_ON}

    def _search(self, leaf: Leaf, window: int) -> Search:
        body = {"retriever": leaf.body, "size": window, "_source": False, "track_total_hits": False}
        post = {"post_filter": self.body.post_filter} if self.body.post_filter else {}
        limit = {"timeout": f"{max(1, int(self.deadline.left * 1000))}ms"} if self.body.timeout_ms else {}
        return self.header, {**self._passed_on, **post, **limit, **body}

    async def _encoded(self, leaf: Leaf) -> Leaf | None:
        """The leaf with a vector where it has a text for a model of ours; other models are the node's.

        None: the model does not answer, the other leaves do without this one.
        """
        builder = leaf.inner.get("query_vector_builder")
        asked = builder.get("text_embedding") if isinstance(builder, dict) else None
        said = (asked.get("model_id"), asked.get("model_text")) if isinstance(asked, dict) else (None, None)
        model, text = said
        if leaf.kind != "knn" or not isinstance(model, str) or not isinstance(text, str):
            return leaf
        try:
            embedded = await self.models.embedded(model, [text], "query", self.deadline)
        except NotFound:
            return leaf
        except MsmError as error:
            self.failures.append(Failure.of(f"encode:{model}", error))
            return None
        inner = {key: value for key, value in leaf.inner.items() if key != "query_vector_builder"}
        return Leaf(leaf.name, {"knn": {**inner, "query_vector": embedded.vectors[0].tolist()}})

    # -- rankings ----------------------------------------------------------------------------------

    async def _rank(self, tree: Tree, found: dict[str, list[Found]]) -> list[Found]:
        if isinstance(tree, Leaf):
            return found.get(tree.name, [])
        rankings = [await self._rank(child, found) for child in tree.children]
        if isinstance(tree, Reranker):
            return await self._reranked(tree, rankings[0][: tree.window])
        return fusing.rrf(tree, rankings) if isinstance(tree, Rrf) else fusing.linear(tree, rankings)

    async def _reranked(self, tree: Reranker, ranking: list[Found]) -> list[Found]:
        """The head by the cross-encoder's scores; as it was where the model does not answer in time."""
        if not ranking:
            return ranking
        texts = await self._texts(tree.field, [one.document for one in ranking])
        try:
            model = await self.served.installed.cross_encoder(tree.model, self.deadline)
            scored = await self.models.reranked(model, tree.text, texts, self.deadline)
        except (NotFound, UsageError) as error:
            raise natural(error) from error
        except MsmError as error:
            self.failures.append(Failure.of("rerank", error))
            return ranking
        logits = scored.scores.tolist()
        if any(math.isnan(logit) for logit in logits):
            self.failures.append(
                Failure.partial("rerank", f"not all of {len(logits)} hits were scored in time")
            )
        order = fusing.reranked(ranking, logits, "rerank")
        return [one for one in order if tree.min_score is None or one.score >= tree.min_score]

    async def _texts(self, name: str, documents: Sequence[Document]) -> list[str]:
        """The field's text of each document, in order; empty where it has none."""
        body = {"query": _these(documents), "size": len(documents), "_source": False, "fields": [name]}
        items = await self.node.msearch([(self.header, {**self._passed_on, **body})])
        texts = {
            _document(hit): " ".join(str(value) for value in hit.get("fields", {}).get(name, []))
            for hit in items[0]["hits"]["hits"]
        }
        return [texts.get(document, "") for document in documents]

    def _why(self, place: int, found: Found) -> Clause:
        told = {"rank": self.body.start + place + 1, "score": found.score, "retrievers": dict(found.why)}
        return told | ({"degraded": [str(failure) for failure in self.failures]} if self.failures else {})


def _found(leaf: Leaf, item: Clause) -> list[Found]:
    """The ranking that a leaf brought."""
    return [
        Found(_document(hit), hit["_score"] or 0.0, {leaf.name: {"rank": rank, "score": hit["_score"]}})
        for rank, hit in enumerate(item["hits"]["hits"], 1)
    ]


def _document(hit: Clause) -> Document:
    return hit["_index"], hit["_id"]


def _these(documents: Sequence[Document]) -> Clause:
    """The query that lets just these documents through."""
    ids: dict[str, list[str]] = {}
    for index, identity in documents:
        ids.setdefault(index, []).append(identity)
    either = [
        {"bool": {"filter": [{"term": {"_index": index}}, {"ids": {"values": values}}]}}
        for index, values in ids.items()
    ]
    return {"bool": {"should": either, "minimum_should_match": 1}} if either else {"match_none": {}}


def _union(leaves: Sequence[Leaf], found: dict[str, list[Found]]) -> Clause:
    """All that any leaf matches: what a `standard` one asks, and what others brought."""
    either, brought = [], []
    for leaf in leaves:
        if leaf.kind == "standard" and not _LIMITING & leaf.inner.keys():
            query, filters = leaf.inner.get("query") or {"match_all": {}}, leaf.inner.get("filter") or []
            either.append({"bool": {"must": [query], "filter": filters}})
        else:
            brought += [one.document for one in found[leaf.name]]
    if brought:
        either.append(_these(list(dict.fromkeys(brought))))
    return {"bool": {"should": either, "minimum_should_match": 1}} if either else {"match_none": {}}


def _asked(leaves: Sequence[Leaf]) -> Clause | None:
    """What the `standard` leaves ask, for highlighting."""
    queries = [leaf.inner["query"] for leaf in leaves if leaf.kind == "standard" and leaf.inner.get("query")]
    return {"bool": {"should": queries}} if queries else None
