"""percent-of-positive on the cosine of a system whose vectors are stored: a tiny real encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_collection import make
from small_runs import save_run
from tiny_model import WORDS, tiny_model, with_modules

from services.collections.collection import Collection
from services.encoding.encoder import load_encoder
from services.errors import NotFound
from services.jobs.kind import Context
from services.jobs.kinds.encode import EncodeKind, EncodeSpec
from services.negatives.marks import Mark, Marks
from services.negatives.opening import Asked, open_negatives
from services.negatives.verdicts import Verdict
from services.settings import Settings
from services.store import Store
from services.systems.models import add
from services.systems.registry import Registry

QUERY = f"who runs {WORDS[3]}"
TEXTS = {f"p{n}": f"the {WORDS[n]} of {WORDS[n + 1]}" for n in range(20)}
FILTER = "percent-of-positive=.99,score=cosine:Tiny"
KIND = EncodeKind()


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    collection = make(tmp_path, passages=TEXTS, queries={"train": {"q": QUERY}},
                      qrels={"train": [("q", "p2", 1), ("q", "p3", 1)]})  # fmt: skip
    model = with_modules(tiny_model(tmp_path / "model"), pooling="mean", normalize=True)
    add(collection.store, "tiny", str(model))
    save_run(collection, "bm25", {"q": list(TEXTS)})
    return collection


def context(store: Store, home: Path) -> Context:
    def no_client() -> Any:
        raise AssertionError("encoding asks nothing of Elasticsearch")

    return Context(settings=Settings(home=home, device="cpu", threads=1), store=store, elastic=no_client)


def encoded(collection: Collection, home: Path) -> Context:
    """With vectors of all texts."""
    there = context(collection.store, home)
    spec = EncodeSpec(collection="small", collection_version=collection.state.version, system="tiny")
    KIND.finish(there, spec, [KIND.run_chunk(there, spec, chunk) for chunk in KIND.plan(there, spec)])
    return there


def test_a_share_of_the_lowest_positive_s_cosine(collection: Collection, tmp_path: Path) -> None:
    asked = Asked("train", filters=[FILTER])
    with pytest.raises(NotFound, match="no vectors of 'tiny'") as caught:
        open_negatives(collection, asked)
    assert caught.value.hint == "msmctl encode --collection small --system tiny"
    there = encoded(collection, tmp_path)
    opened = open_negatives(collection, asked)
    block = opened.candidates.block(0)
    left = collection.pids_of(block.ords[opened.selection.keep(block)])
    system = opened.candidates.systems[0]
    assert system.name == "bm25"  # the teacher need not be among the systems that are read
    encoder = load_encoder(collection.store, Registry.load(collection.store).get("tiny"), there.settings)
    cosines = encoder.encode(list(TEXTS.values()), "passage") @ encoder.encode([QUERY], "query")[0]
    bar = 0.99 * max(min(cosines[2], cosines[3]), 0)
    assert left == [f"p{n}" for n in range(20) if n not in (2, 3) and max(cosines[n], 0) < bar]
    assert 0 < len(left) < 18


def test_what_a_person_keeps_passes_a_bi_encoder_s_guess_too_but_no_range(
    collection: Collection, tmp_path: Path
) -> None:
    encoded(collection, tmp_path)

    def left(*filters: str, marks: Marks | None = None) -> set[str]:
        opened = open_negatives(collection, Asked("train", filters=filters, marks=marks))
        block = opened.candidates.block(0)
        return set(collection.pids_of(block.ords[opened.selection.keep(block)]))

    near = next(pid for pid in TEXTS if pid not in {"p2", "p3"} | left(FILTER))
    kept = Marks(collection, [Mark("q", near, Verdict.KEEP, "of another place")])
    assert left(FILTER, marks=kept) == left(FILTER) | {near}
    assert near not in left(FILTER, f"rank-range={int(near[1:]) + 2}:", marks=kept)
