"""From a request to what the engine is asked: names looked up in the served version."""

from __future__ import annotations

from services.deadline import Deadline
from services.elastic.versions import Version
from services.search.ask import Ask
from services.search.legs import Leg
from services.search.request import SearchRequest


def resolved(request: SearchRequest, version: Version, deadline: Deadline, ce: str = "") -> Ask:
    """The question to a version of an index.

    Args:
        request: What is asked.
        version: Where.
        deadline: For the whole request.
        ce: The cross-encoder that is meant where `rerank` names none.

    Raises:
        NotFound: the version does not serve a system that is asked, or none of the kind.
        UsageError: an unknown filter field, fusion method or parameter.
    """
    raise NotImplementedError


def legs_of(request: SearchRequest, version: Version) -> tuple[Leg, ...]:
    """The legs that a request means.

    Raises:
        NotFound: the version does not serve a system that is asked, or none of the kind.
    """
    raise NotImplementedError
