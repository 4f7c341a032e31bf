"""What docs/gateway.md shows works on the sample collection."""

from __future__ import annotations

import json
import re

from services.stack.secrets import password
from tests.conftest import ROOT
from tests.integration.conftest import Sample
from tests.integration.gateway.ends import Ends

PAGE = (ROOT / "docs" / "gateway.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_python_of_the_page_runs(ends: Ends, sample: Sample) -> None:
    [code] = blocks("python")
    given = {"GATEWAY_URL": ends.gateway, "USER": "reader", "PASSWORD": password(ends.settings, "reader")}
    exec(compile(code.replace("msm-squad", f"msm-{sample.name}"), "gateway.md", "exec"), given)
    assert given["answer"]["hits"]["hits"]  # type: ignore[index]


def test_the_requests_of_the_page_find_something(ends: Ends, sample: Sample) -> None:
    for block in blocks("http"):
        line, _, body = block.partition("\n")
        path = line.removeprefix("POST ").replace("msm-squad", f"msm-{sample.name}")
        status, _, answer = ends.ask(f"/{path}", json.loads(body), "reader")
        assert status == 200, answer
        assert len(answer["hits"]["hits"]) == 5
