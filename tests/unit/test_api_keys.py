"""Keys: what is kept of them, when they count, and how often they may ask."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from elasticsearch import NotFoundError

from services.api.keys.cache import SECONDS, KeyCache
from services.api.keys.key import Key, hashed, mint, parse, parse_expiry
from services.api.keys.rate import Rates
from services.errors import UsageError
from services.settings import Settings

NOW = datetime.now(UTC)


def test_a_key_is_found_by_its_id_and_proved_by_its_secret() -> None:
    kept, text = mint(["search"])
    assert parse(text) == (kept.id, text.split("_", 2)[2])
    assert hashed(text.split("_", 2)[2]) == kept.hash != hashed(mint(["search"])[1].split("_", 2)[2])


def test_only_the_hash_of_the_secret_is_kept_and_not_shown() -> None:
    kept, text = mint(["search"])
    secret = text.split("_", 2)[2]
    assert secret not in kept.model_dump_json()
    assert kept.hash == hashlib.sha256(secret.encode()).hexdigest()
    assert kept.hash not in str(kept.as_dict(NOW))


@pytest.mark.parametrize(
    "text", ["", "msm_", "sk-1234", "msm_0123456789ab_short", "msm_0123456789AB_" + "x" * 43, "ä" * 60]
)
def test_what_has_not_the_form_of_a_key_is_none(text: str) -> None:
    assert parse(text) is None


def test_a_key_counts_until_it_expires_or_is_revoked() -> None:
    key = mint(["search"], expires=NOW + timedelta(hours=1))[0]
    assert key.state(NOW) == "active"
    assert key.state(NOW + timedelta(hours=1)) == "expired"
    assert key.model_copy(update={"revoked": NOW}).state(NOW) == "revoked"


def test_admin_may_do_everything_and_others_what_they_are_for() -> None:
    assert mint(["admin"])[0].has("search")
    assert mint(["search"])[0].has("search")
    assert not mint(["search"])[0].has("embed")


def test_a_key_reaches_the_collections_that_it_names_or_all() -> None:
    assert mint(["search"])[0].reaches("squad")
    assert mint(["search"], collections=["squad"])[0].reaches("squad")
    assert not mint(["search"], collections=["squad"])[0].reaches("squad2")


@pytest.mark.parametrize(
    ("text", "ahead"),
    [("30d", timedelta(days=30)), ("12h", timedelta(hours=12)), ("45m", timedelta(minutes=45))],
)
def test_an_expiry_is_a_span(text: str, ahead: timedelta) -> None:
    assert abs(parse_expiry(text) - datetime.now(UTC) - ahead) < timedelta(seconds=2)


def test_an_expiry_is_a_date_in_utc() -> None:
    assert parse_expiry("2031-05-01") == datetime(2031, 5, 1, tzinfo=UTC)
    assert parse_expiry("2031-05-01T12:00+02:00") == datetime(2031, 5, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "0d", "-1d", "soon", "2031-13-01", "0001-01-01T00:00+14:00"])
def test_what_is_no_expiry_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no expiry"):
        parse_expiry(text)


def test_a_key_that_would_be_of_no_use_is_not_made() -> None:
    with pytest.raises(UsageError, match="would have expired"):
        mint(["search"], expires=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(UsageError, match="printable"):
        mint(["search"], name="a\x1b[2J")


def test_a_bucket_holds_a_minute_s_requests_and_fills_evenly() -> None:
    time = [100.0]
    rates = Rates(lambda: time[0])
    assert [rates.wait("a", 3) for _ in range(3)] == [0, 0, 0]
    assert rates.wait("a", 3) == pytest.approx(20)
    assert rates.wait("b", 3) == 0
    time[0] += 20
    assert rates.wait("a", 3) == 0
    time[0] += 15
    assert rates.wait("a", 3) == pytest.approx(5)
    time[0] += 3600
    assert [rates.wait("a", 3) == 0 for _ in range(4)] == [True, True, True, False]


class Documents:
    """Stands in for the client: what matters here is how often it is asked, and when."""

    def __init__(self) -> None:
        self.there: dict[str, Key] = {}
        self.asked = 0

    def options(self, **_: Any) -> Documents:
        return self

    async def get(self, *, index: str, id: str) -> dict[str, Any]:
        assert index == "msm-keys"
        self.asked += 1
        await asyncio.sleep(0)
        if id not in self.there:
            raise NotFoundError("no", None, None)  # type: ignore[arg-type]
        return {"_source": self.there[id].model_dump(mode="json")}


def test_a_key_is_looked_up_once_in_a_while_however_many_ask() -> None:
    documents, time = Documents(), [0.0]
    key = mint(["search"])[0]
    documents.there[key.id] = key
    cache = KeyCache(documents, Settings(), lambda: time[0])  # type: ignore[arg-type]

    async def many() -> list[Key | None]:
        return await asyncio.gather(*(cache.get(key.id) for _ in range(20)))

    async def course() -> None:
        assert await many() == [key] * 20
        assert documents.asked == 1
        documents.there[key.id] = revoked = key.model_copy(update={"revoked": NOW})
        time[0] = SECONDS - 0.01
        assert await cache.get(key.id) == key
        time[0] = SECONDS
        assert await cache.get(key.id) == revoked
        assert await cache.get("0" * 12) is None
        assert await cache.get("0" * 12) is None
        assert documents.asked == 3

    asyncio.run(course())


def test_one_who_goes_away_does_not_take_the_answer_from_the_others() -> None:
    documents = Documents()
    key = mint(["search"])[0]
    documents.there[key.id] = key
    cache = KeyCache(documents, Settings())  # type: ignore[arg-type]

    async def course() -> None:
        first, second = (asyncio.create_task(cache.get(key.id)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == key

    asyncio.run(course())
