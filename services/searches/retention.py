"""An index per day, and the removal of days that are over: no ILM, which a bare node lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime

from elasticsearch import Elasticsearch

from services.elastic.errors import translated
from services.settings import Settings

PATTERN = "searches-*"


def index_of(settings: Settings, day: date) -> str:
    """Where the searches of a day (UTC) are."""
    return settings.index("searches", f"{day:%Y.%m.%d}")


def expired(settings: Settings, names: Iterable[str], today: date) -> list[str]:
    """Those of some indices that hold searches of days before the last `searches_days`, today counted.

    A name that is not of a day is none of ours and stays.
    """
    form = re.compile(re.escape(settings.index("searches")) + r"-(\d{4})\.(\d\d)\.(\d\d)")
    days = {
        name: _day(*map(int, parts.groups())) for name in sorted(names) if (parts := form.fullmatch(name))
    }
    return [name for name, day in days.items() if day and (today - day).days >= settings.searches_days]


def sweep(client: Elasticsearch, settings: Settings) -> list[str]:
    """Remove what is older than `searches_days` says; returns the names of the indices.

    Args:
        client: Of the user `dispatcher`: who writes the log cannot remove it.
        settings: Prefix and days.
    """
    with translated("removing old searches"):
        there = client.indices.get(
            index=settings.index(PATTERN), features=["aliases"], allow_no_indices=True
        ).body
        old = expired(settings, there, datetime.now(UTC).date())
        for index in old:
            client.options(ignore_status=404).indices.delete(index=index)
    return old


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
