"""The log of searches: who asked what, how it was answered, how long it took; kept for some days."""

from services.searches.log import SearchLog
from services.searches.record import SearchRecord, Source

__all__ = ["SearchLog", "SearchRecord", "Source"]
