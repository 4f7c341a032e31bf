"""Where an export may go, and what it may replace and remove there: nothing that is not its own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from export_kit import export, files, request, small

from services.collections.collection import Collection
from services.errors import CheckFailed, Conflict, InputError
from services.exports.export import plan
from services.exports.verify import verify
from services.store.fingerprint import file_sha256


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return small(tmp_path)


def edited(manifest: Path, **values: object) -> None:
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | values))


def described(path: Path, name: str) -> dict[str, object]:
    """A file as a forged manifest may name it, to the byte."""
    return {"name": name, "bytes": path.stat().st_size, "sha256": file_sha256(path), "rows": 1}


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", ["../precious.txt", "triplet/../../precious.txt", "{folder}/precious.txt"])
def test_no_manifest_makes_an_export_remove_a_file_elsewhere(
    tmp_path: Path, collection: Collection, name: str, force: bool
) -> None:
    out, precious = tmp_path / "out", tmp_path / "precious.txt"
    precious.write_text("dear")
    manifest = out / "triplet.train.manifest.json"
    export(collection, "triplet", out)
    known = json.loads(manifest.read_text())["files"]
    edited(manifest, files=[*known, described(precious, name.format(folder=tmp_path))])
    if force:
        export(collection, "triplet", out, force=True)
    else:
        with pytest.raises(Conflict, match="no export's manifest"):
            export(collection, "triplet", out)
    assert precious.read_text() == "dear"


def test_a_file_that_was_changed_since_is_not_removed_with_what_it_was_part_of(
    tmp_path: Path, collection: Collection
) -> None:
    out = tmp_path / "out"
    manifest = out / "triplet.train.manifest.json"
    export(collection, "triplet", out)
    (out / "notes.txt").write_text("dear")
    named = {"name": "notes.txt", "bytes": 4, "sha256": "0" * 64, "rows": 1}
    edited(manifest, files=[*json.loads(manifest.read_text())["files"], named])
    export(collection, "triplet", out, force=True)
    assert (out / "notes.txt").read_text() == "dear"


def test_a_manifest_without_files_vouches_for_nothing(tmp_path: Path, collection: Collection) -> None:
    file = tmp_path / "n.jsonl"
    export(collection, "hard-negatives", file)
    edited(tmp_path / "n.jsonl.manifest.json", files=[])
    file.write_text("tampered\n")
    with pytest.raises(Conflict, match="no export's manifest"):
        plan(collection, request("hard-negatives", file))


def test_a_damaged_manifest_is_a_finding(tmp_path: Path, collection: Collection) -> None:
    file = tmp_path / "n.jsonl"
    export(collection, "hard-negatives", file)
    manifest = tmp_path / "n.jsonl.manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:300])
    assert verify(file, collection).findings["changed"] == 1
    export(collection, "triplet", tmp_path / "out")
    manifest = tmp_path / "out" / "triplet.train.manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:300])
    assert verify(tmp_path / "out", collection).findings["changed"] == 1
    assert verify(tmp_path / "out" / "triplet", collection).findings["changed"] == 1


def test_what_is_no_file_where_a_manifest_would_lie_is_none(tmp_path: Path, collection: Collection) -> None:
    file = tmp_path / "n.jsonl"
    export(collection, "hard-negatives", file)
    (tmp_path / "n.jsonl.manifest.json").unlink()
    (tmp_path / "n.jsonl.manifest.json").mkdir()
    os.mkfifo(tmp_path / "pipe.manifest.json")
    assert verify(file, collection).ok


@pytest.mark.parametrize("force", [False, True])
def test_only_regular_files_are_replaced(tmp_path: Path, collection: Collection, force: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path / "-", Path(os.devnull)):
        with pytest.raises(InputError, match="no regular file"):
            plan(collection, request("hard-negatives", place, force=force))
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(("name", "blocked"), [("beir", "qrels"), ("triplet", "triplet")])
def test_a_file_where_a_folder_belongs_is_told_before_anything_is_written(
    tmp_path: Path, collection: Collection, name: str, blocked: str, force: bool
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / blocked).write_text("a file")
    with pytest.raises(InputError, match=f"{blocked}: is no folder"):
        plan(collection, request(name, out, force=force))
    assert files(out) == {blocked: b"a file"}


def test_a_folder_where_a_file_belongs_is_told_before_anything_is_written(
    tmp_path: Path, collection: Collection
) -> None:
    (tmp_path / "out" / "corpus.jsonl").mkdir(parents=True)
    with pytest.raises(InputError, match=r"corpus\.jsonl: is no regular file"):
        plan(collection, request("beir", tmp_path / "out", force=True))


def test_a_name_that_leaves_no_room_for_its_manifest_is_told_at_once(
    tmp_path: Path, collection: Collection
) -> None:
    longest = os.pathconf(tmp_path, "PC_NAME_MAX") - len("..manifest.json.new")
    export(collection, "hard-negatives", tmp_path / ("n" * longest))
    for name in ("n" * (longest + 1), "n" * 300, "\N{HORIZONTAL ELLIPSIS}" * 85):
        with pytest.raises(InputError, match="too long"):
            plan(collection, request("hard-negatives", tmp_path / name))
    with pytest.raises(InputError, match="too long"):
        plan(collection, request("hard-negatives", tmp_path / ("n" * 300) / "n.jsonl"))


def test_a_hostile_name_inside_a_folder_is_shown_plainly(tmp_path: Path, collection: Collection) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "\x1b[2J.jsonl").write_text("[]\n")
    assert verify(tmp_path / "out", collection).examples[0]["file"] == "\\x1b[2J.jsonl"
    (tmp_path / "out" / os.fsdecode(b"\xff.jsonl")).write_text("[]\n")
    with pytest.raises(InputError, match=r"udcff\.jsonl: the name is not UTF-8"):
        verify(tmp_path / "out", collection)


def test_an_empty_export_leaves_the_folders_of_others_alone(
    tmp_path: Path, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, link = tmp_path / "mine", tmp_path / "link"
    mine.mkdir()
    link.symlink_to(mine)
    monkeypatch.chdir(mine)
    for place in (mine, link, Path()):
        with pytest.raises(CheckFailed, match="no query has enough"):
            export(collection, "triplet-50", place)
        assert list(mine.iterdir()) == []
    with pytest.raises(CheckFailed, match="no query has enough"):
        export(collection, "triplet-50", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["n.jsonl.GZ", "n.jsonl.Zst", "gz"])
def test_endings_mean_the_same_in_capitals_and_a_bare_name_has_none(
    tmp_path: Path, collection: Collection, name: str
) -> None:
    export(collection, "hard-negatives", tmp_path / name)
    assert verify(tmp_path / name, collection).ok
    assert (tmp_path / name).read_bytes().startswith(b"{") == (name == "gz")


def test_packings_that_nobody_here_unpacks_are_refused_in_capitals_too(
    tmp_path: Path, collection: Collection
) -> None:
    with pytest.raises(InputError, match=r"not packed as \.XZ"):
        plan(collection, request("hard-negatives", tmp_path / "n.jsonl.XZ"))
