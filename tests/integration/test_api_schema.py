"""The whole description of the service, with generated and broken requests: nothing answers 5xx."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.api.app import create_app
from services.settings import Settings
from services.stack.endpoints import endpoints
from tests.conftest import Stack
from tests.integration.api_kit import Api
from tests.integration.conftest import Sample

EXAMPLES = 5
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]


@dataclass(frozen=True)
class Asked:
    """Where, as whom, and what is there.

    The key reaches one collection and no console: what is generated may swap nothing.
    """

    url: str
    headers: dict[str, str]
    collection: str


@pytest.fixture(scope="module")
def asked(stack: Stack, sample: Sample) -> Asked:
    api = Api(stack.settings, endpoints(stack.settings).api_url, sample.name)
    key = api.key("search", "embed", collections=[sample.name])
    return Asked(api.url, {"Authorization": f"Bearer {key}"}, sample.name)


# Described without anybody being there; asked of the running service.
schema = schemathesis.openapi.from_dict(create_app(Settings()).openapi())


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_answers_as_it_is_described(case: Any, asked: Asked) -> None:
    if case.path_parameters.get("collection") == "squad":  # the examples' own
        case.path_parameters["collection"] = asked.collection
    case.call_and_validate(base_url=asked.url, headers=asked.headers, checks=CHECKS)
