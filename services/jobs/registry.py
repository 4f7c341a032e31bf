"""The kinds of jobs there are, by name. Imported lazily: a kind may load torch only when it runs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from services.errors import InputError
from services.jobs.kind import Kind, Spec

_KINDS = {
    "encode": "services.jobs.kinds.encode:EncodeKind",
    "index": "services.jobs.kinds.index:IndexKind",
    "measure": "services.jobs.kinds.measure:MeasureKind",
    "mine": "services.jobs.kinds.mine:MineKind",
    "probe": "services.jobs.kinds.probe:ProbeKind",
    "publish": "services.jobs.kinds.publish:PublishKind",
    "score": "services.jobs.kinds.score:ScoreKind",
    "train": "services.jobs.kinds.train:TrainKind",
}


def kind_named(name: str) -> Kind[Any]:
    """The kind of that name.

    Raises:
        InputError: there is no such kind (a hostile or newer message).
    """
    if name not in _KINDS:
        raise InputError(f"unknown kind of job '{name}'; known: {', '.join(_KINDS)}")
    module, _, attribute = _KINDS[name].partition(":")
    kind: Kind[Any] = getattr(import_module(module), attribute)()
    return kind


def parse_spec(raw: dict[str, Any]) -> Spec:
    """A spec from its JSON form, validated by its kind."""
    return kind_named(str(raw.get("kind"))).spec_type.model_validate(raw)
