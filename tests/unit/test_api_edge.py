"""What every request passes: ids, limits on bodies, leaving, and errors as problem details."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel

from services import errors
from services.api.app import ROUTERS
from services.api.edge.tracked import Tracked
from services.api.edge.whole_body import WholeBody
from services.api.errors import Forbidden, TooLarge, TooOften, Unauthenticated
from services.api.metrics import Metrics
from services.api.openapi import Documented
from services.api.problems import handle_problems, responses, status_of
from services.api.strict_json import StrictRoute
from services.body_room import BodyRoom

Message = dict[str, Any]
LIMIT = 1000


class Named(BaseModel):
    name: str


async def admit(request: Request) -> None:
    if "authorization" not in request.headers:
        raise Unauthenticated("no key was sent", hint="send one")


class Site:
    """An application with an endpoint of each sort, behind the edge."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.began = asyncio.Event()
        self.cancelled = False
        self.app = Documented()
        self.app.state.draining = False
        router = APIRouter(route_class=StrictRoute, responses=responses())

        @router.post("/echo")
        async def echo(given: Named) -> Named:
            return given

        @router.post("/slow")
        async def slow() -> None:
            self.began.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled = True
                raise

        @router.get("/broken")
        async def broken() -> None:
            raise ValueError("secret detail")

        @router.get("/refused")
        async def refused() -> None:
            raise TooOften("too often", retry_after=2.2, hint="wait")

        self.app.include_router(router)
        handle_problems(self.app)
        self.room = BodyRoom(most=1500, small=100)
        self.app.add_middleware(
            WholeBody, metrics=self.metrics, admit=admit, most=LIMIT, seconds=0.2, room=self.room
        )
        self.app.add_middleware(Tracked, metrics=self.metrics)

    def counted(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


async def ask(
    app: FastAPI,
    path: str,
    pieces: Sequence[bytes] = (b"",),
    headers: dict[str, str] | None = None,
    then: Callable[[], Awaitable[Message]] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Speak ASGI: send a body in pieces, then wait for what `then` says (nothing, by default)."""
    sent: list[Message] = []
    waiting = [
        {"type": "http.request", "body": piece, "more_body": n + 1 < len(pieces) or (not piece and n > 0)}
        for n, piece in enumerate(pieces)
    ]

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        if then is not None:
            return await then()
        await asyncio.sleep(60)
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    given = {"content-type": "application/json", "authorization": "Bearer x"} | (headers or {})
    given = {name: value for name, value in given.items() if value}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
        "method": "POST" if pieces != (b"",) or path in ("/slow", "/echo") else "GET",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    await app(scope, receive, send)
    if not sent:
        return 0, {}, b""
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], told, b"".join(message.get("body", b"") for message in sent[1:])


def problem(answer: tuple[int, dict[str, str], bytes]) -> dict[str, Any]:
    status, headers, body = answer
    assert headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = json.loads(body)
    assert said["status"] == status
    assert said["request_id"] == headers["x-request-id"]
    return said


# -- bodies --------------------------------------------------------------------------------------------


def test_a_body_in_pieces_arrives_whole() -> None:
    status, _, body = asyncio.run(ask(Site().app, "/echo", [b'{"na', b'me": ', b'"x"}']))
    assert (status, body) == (200, b'{"name":"x"}')


def test_a_body_that_says_that_it_is_too_large_is_not_read() -> None:
    async def never() -> Message:
        raise AssertionError("read")

    headers = {"content-length": str(LIMIT + 1)}
    said = problem(asyncio.run(ask(Site().app, "/echo", [], headers, never)))
    assert (said["status"], said["code"]) == (413, "usage")


def test_a_body_that_does_not_say_how_large_it_is_is_read_to_the_limit() -> None:
    assert problem(asyncio.run(ask(Site().app, "/echo", [b"x" * 600] * 5)))["status"] == 413


def test_no_more_than_a_small_body_is_read_of_a_stranger() -> None:
    async def never() -> Message:
        raise AssertionError("read")

    site, stranger = Site(), {"authorization": ""}
    said = problem(asyncio.run(ask(site.app, "/echo", [b"x" * 60, b"x" * 60, b""], stranger, never)))
    assert (said["status"], said["detail"]) == (401, "no key was sent")
    assert site.room.held == 0
    assert asyncio.run(ask(site.app, "/echo", [b'{"name":"x"}'], stranger))[0] == 200


def test_a_body_that_does_not_arrive_is_not_waited_for() -> None:
    async def silent() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    assert problem(asyncio.run(ask(Site().app, "/echo", [b'{"na', b""], None, silent)))["status"] == 408


def test_bodies_together_hold_no_more_than_they_may_and_small_ones_are_read_all_the_same() -> None:
    async def course() -> tuple[Site, list[Any]]:
        site = Site()
        filled = asyncio.Event()

        async def silent() -> Message:
            filled.set()
            await asyncio.sleep(60)
            raise AssertionError

        slow = asyncio.create_task(ask(site.app, "/echo", [b"x" * 500, b"x" * 500, b""], None, silent))
        other = asyncio.create_task(ask(site.app, "/echo", [b"x" * 800, b""], None, silent))
        await filled.wait()
        small = await ask(site.app, "/echo", [b'{"name":"x"}'])
        return site, [small, await other, await slow]

    site, (small, other, slow) = asyncio.run(course())
    assert small[0] == 200
    assert sorted(problem(answer)["status"] for answer in (other, slow)) == [408, 429]
    assert site.room.held == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nul",
        b'{"name": NaN}',
        b'{"name": "\\ud800"}',
        b'{"name": "\xff"}',
        b"[" * 480 + b"]" * 480,
    ],
)
def test_what_is_not_json_is_refused_and_told(body: bytes) -> None:
    said = problem(asyncio.run(ask(Site().app, "/echo", [body])))
    assert said["status"] in (400, 422)
    assert said["code"] == "usage"


@pytest.mark.parametrize(
    "body", [b'{"name": [0%s]}' % (b",0" * 30), b'{"name": "x", "k": [[]%s]}' % (b",[0]" * 9)]
)
def test_a_body_of_more_values_than_are_looked_at_is_refused_as_a_whole(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each wrong value of half a million was described, for seconds."""
    monkeypatch.setattr("services.api.strict_json.VALUES", 12)
    said = problem(asyncio.run(ask(Site().app, "/echo", [body])))
    assert (said["status"], said["detail"]) == (422, "POST /echo: the body is made of more than 12 values")


def test_every_body_is_read_strictly() -> None:
    routes = [one for router in ROUTERS for one in router.routes if isinstance(one, APIRoute)]
    assert [one.path for one in routes if one.body_field and not isinstance(one, StrictRoute)] == []


def test_what_is_wrong_in_a_body_is_named_by_place_and_not_repeated() -> None:
    said = problem(asyncio.run(ask(Site().app, "/echo", [b'{"name": 5, "other": "private"}'])))
    assert said["status"] == 422
    assert said["errors"] == [{"place": "name", "message": "Input should be a valid string"}]
    assert "private" not in json.dumps(said)


def test_a_body_of_another_type_is_told_how_to_be_sent() -> None:
    headers = {"content-type": "application/x-www-form-urlencoded", "content-length": "13"}
    said = problem(asyncio.run(ask(Site().app, "/echo", [b'{"name": "x"}'], headers)))
    assert "Content-Type: application/json" in said["hint"]


# -- leaving -------------------------------------------------------------------------------------------


def test_work_ends_when_its_sender_leaves() -> None:
    async def course() -> Site:
        site = Site()

        async def leave() -> Message:
            await site.began.wait()
            return {"type": "http.disconnect"}

        assert await ask(site.app, "/slow", then=leave) == (0, {}, b"")
        return site

    site = asyncio.run(course())
    assert site.cancelled
    assert site.counted("msm_http_left_total") == 1
    assert site.counted("msm_http_under_way") == 0


def test_a_sender_who_leaves_before_the_end_of_the_body_is_not_answered() -> None:
    async def leave() -> Message:
        return {"type": "http.disconnect"}

    assert asyncio.run(ask(Site().app, "/echo", [b'{"na', b""], None, leave))[0] == 0


# -- ids, counting, draining ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"), [("a.b-c_9", True), ("x" * 65, False), ("a b", False), ("", False)]
)
def test_an_id_of_the_caller_is_kept_when_it_is_fit_for_logs(given: str, kept: bool) -> None:
    _, headers, _ = asyncio.run(ask(Site().app, "/echo", [b'{"name":"x"}'], {"x-request-id": given}))
    assert (headers["x-request-id"] == given) is kept


def test_requests_are_counted_by_route_and_status() -> None:
    site = Site()
    asyncio.run(ask(site.app, "/echo", [b'{"name":"x"}']))
    asyncio.run(ask(site.app, "/never/mind"))
    total = "msm_http_requests_total"
    assert site.counted(total, method="POST", route="/echo", status="200") == 1
    assert site.counted(total, method="GET", route="none", status="404") == 1


def test_answers_say_that_the_connection_will_close_once_the_service_ends() -> None:
    site = Site()
    assert "connection" not in asyncio.run(ask(site.app, "/echo", [b'{"name":"x"}']))[1]
    site.app.state.draining = True
    assert asyncio.run(ask(site.app, "/echo", [b'{"name":"x"}']))[1]["connection"] == "close"


# -- problems ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unauthenticated, 401), (Forbidden, 403), (TooLarge, 413), (errors.UsageError, 400),
        (errors.InputError, 400), (errors.NotFound, 404), (errors.Conflict, 409), (errors.Overloaded, 429),
        (TooOften, 429), (errors.TooLate, 504), (errors.Unavailable, 503), (errors.AuthError, 503),
        (errors.MsmError, 500),
    ],
)  # fmt: skip
def test_every_error_has_its_status(error: type[errors.MsmError], status: int) -> None:
    assert status_of(error("x")) == status


def test_a_refusal_that_passes_says_when_to_come_back() -> None:
    answer = asyncio.run(ask(Site().app, "/refused"))
    assert answer[1]["retry-after"] == "3"
    said = problem(answer)
    assert (said["status"], said["code"], said["detail"], said["hint"]) == (
        429, "overloaded", "too often", "wait",
    )  # fmt: skip


def test_a_defect_is_a_problem_that_tells_nothing_of_the_inside() -> None:
    said = problem(asyncio.run(ask(Site().app, "/broken")))
    assert said["status"] == 500
    assert "secret" not in json.dumps(said)


def test_unknown_paths_and_methods_are_problems_too() -> None:
    assert problem(asyncio.run(ask(Site().app, "/nowhere")))["status"] == 404
    assert problem(asyncio.run(ask(Site().app, "/broken", [b"{}"])))["status"] == 405


def test_the_description_says_that_errors_are_problems() -> None:
    described = Site().app.openapi()
    answers = described["paths"]["/echo"]["post"]["responses"]
    assert set(answers["422"]["content"]) == {"application/problem+json"}
    assert "Problem" in described["components"]["schemas"]
