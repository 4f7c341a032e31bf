"""URL parameters of a search: which belong into the body, to the index, or to the form of the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from services.gateway.native import bad

Body = dict[str, Any]

_LONGEST_FILTER = 4_096
"""Characters of `filter_path`: the node itself reads no more of a URL (http.max_initial_line_length)."""
_JSON = ("json", "application/json")


def _flag(text: str) -> bool:
    if text not in ("", "true", "false"):
        raise ValueError(text)
    return text != "false"


def _list(text: str) -> list[str]:
    return [item for item in text.split(",") if item]


def _filter(text: str) -> list[str]:
    if len(text) > _LONGEST_FILTER:
        raise ValueError(f"[filter_path] is longer than {_LONGEST_FILTER} characters")
    return _list(text)


def _flag_or_number(text: str) -> bool | int:
    return int(text) if text.lstrip("-").isdigit() else _flag(text)


def _source(text: str) -> bool | list[str]:
    return text == "true" if text in ("true", "false") else _list(text)


_IN_BODY: dict[str, Callable[[str], Any]] = {
    "from": int, "size": int, "terminate_after": int, "timeout": str, "sort": _list, "stats": _list,
    "_source": _source, "stored_fields": _list, "docvalue_fields": _list, "track_total_hits": _flag_or_number,
    "track_scores": _flag, "explain": _flag, "version": _flag, "seq_no_primary_term": _flag,
}  # fmt: skip
_AT_INDEX = frozenset(
    {
        "preference", "routing", "search_type", "ignore_unavailable", "allow_no_indices", "expand_wildcards",
        "ignore_throttled", "request_cache", "allow_partial_search_results",
    }
)  # fmt: skip
"""What a header line of `_msearch` may say."""
_WITHOUT_EFFECT = frozenset(
    {
        "batched_reduce_size", "ccs_minimize_roundtrips", "max_concurrent_shard_requests",
        "max_concurrent_searches", "min_compatible_shard_node", "pre_filter_shard_size", "error_trace",
        "human", "include_named_queries_score", "force_synthetic_source", "keep_alive",
        "keep_on_completion",
        "wait_for_completion_timeout", "analyzer", "analyze_wildcard", "default_operator", "df", "lenient",
    }
)  # fmt: skip
"""They steer how the node works, or a `q` that is refused; the hits are the same."""


@dataclass(frozen=True)
class Form:
    """How the answer is to be written.

    Attributes:
        filter_path: Patterns of what is wanted, with `-` of what is not; empty: all.
        typed_keys: Aggregations say their type in their name.
        total_as_int: `hits.total` is a number.
        pretty: Indented.
    """

    filter_path: tuple[str, ...] = ()
    typed_keys: bool = False
    total_as_int: bool = False
    pretty: bool = False


@dataclass(frozen=True)
class Params:
    """A search's parameters.

    Attributes:
        body: Keys of the body that the URL gives; they win over the body's own.
        index: Keys of an `_msearch` header line.
        form: Of the answer.
        refused: Parameters that an answer of ours cannot follow.
    """

    body: Body = field(default_factory=dict)
    index: Body = field(default_factory=dict)
    form: Form = Form()
    refused: tuple[str, ...] = ()


def parse(query: bytes) -> Params:
    """The parameters of a query string.

    Raises:
        Refused: a value cannot be read.
    """
    given = dict(parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True))
    try:
        form = Form(
            filter_path=tuple(_filter(given.pop("filter_path", ""))),
            typed_keys=_flag(given.pop("typed_keys", "false")),
            total_as_int=_flag(given.pop("rest_total_hits_as_int", "false")),
            pretty=_flag(given.pop("pretty", "false")),
        )
        body = {name: read(given.pop(name)) for name, read in _IN_BODY.items() if name in given}
    except ValueError as error:
        raise bad(f"failed to parse a parameter of the URL: {error}") from None
    patterns = {
        key: _list(given.pop(f"_source_{key}"))
        for key in ("includes", "excludes")
        if f"_source_{key}" in given
    }
    if patterns:
        body["_source"] = patterns | ({"includes": body["_source"]} if "_source" in body else {})
    index = {name: given.pop(name) for name in _AT_INDEX if name in given}
    if given.get("format") in _JSON:
        del given["format"]
    return Params(body, index, form, tuple(name for name in given if name not in _WITHOUT_EFFECT))
