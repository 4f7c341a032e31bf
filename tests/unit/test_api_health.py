"""What /readyz tells strangers, and what those who run the service."""

from __future__ import annotations

import pytest

from services.api.health import lacking
from services.api.keys.key import Key, Scope, mint

UNSERVED = ["secret-plans", "squad"]
MODELS = ["http://10.0.0.7:8080: acme-ce is being loaded"]


def key(*scopes: Scope, collections: tuple[str, ...] = ()) -> Key:
    return mint(scopes, collections=collections)[0]


@pytest.mark.parametrize("who", [None, key("search"), key("embed", "search", collections=("squad",))])
def test_who_does_not_run_the_service_learns_no_names_and_no_addresses(who: Key | None) -> None:
    assert lacking(UNSERVED, MODELS, who) == [
        "collections that have index versions and serve none: 2", "not all models are ready",
    ]  # fmt: skip


def test_a_key_that_may_do_everything_learns_the_names_of_what_it_may_ask() -> None:
    assert lacking(UNSERVED, MODELS, key("admin")) == [
        "collection 'secret-plans' has index versions and serves none",
        "collection 'squad' has index versions and serves none",
        "models: http://10.0.0.7:8080: acme-ce is being loaded",
    ]
    limited = lacking(UNSERVED, [], key("admin", collections=("squad",)))
    assert limited == [
        "collection 'squad' has index versions and serves none",
        "collections that have index versions and serve none: 1",
    ]


def test_nothing_is_lacking_where_all_is_there() -> None:
    assert lacking([], [], None) == []
