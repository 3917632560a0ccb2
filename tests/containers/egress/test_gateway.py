"""The model gateway's own doors, with an application behind it that says what it was asked: what a box sends is not trusted."""

import asyncio
import json
from typing import Any

import pytest

from agentrt.containers.egress.egress import MODEL_REQUESTS_PER_MINUTE, MOST_HELD
from containers.egress.conftest import Open

pytestmark = pytest.mark.anyio

MODELS = {"models": True}
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


class Application:
    """Reads bodies whole, and answers what it got. `asked` are the bodies; `go` is waited for before an answer."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.hung_up = 0
        self.came, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.hung_up += 1
                await self._answer(send, 500, b"of no use")
                return
            body += message["body"]
            more = message["more_body"]
        self.asked.append(bytes(body))
        self.came.set()
        await self.go.wait()
        who = scope["state"]["who"]
        told = {"path": scope["path"], "user": who.user, "run": who.run, "size": len(body)}
        told["headers"] = sorted(name.decode() for name, _ in scope["headers"])
        await self._answer(send, 200, json.dumps(told).encode())

    async def _answer(self, send: Any, status: int, body: bytes) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def application() -> Application:
    return Application()


async def test_headers_that_name_somebody_else_do_not_go_in(open_: Open, application: Application) -> None:
    names = ("x-user-id", "x-run-id", "x-session-id", "x-tenant-id", "x-agentrt-run", "authorization", "cookie", "origin")
    async with open_(application=application, rule=MODELS) as outlet:
        answer = await outlet.ask("GET", "/v1/models", dict.fromkeys(names, "mallory") | {"x_user_id": "mallory"})
        told = json.loads(answer.body)
        assert (told["user"], told["run"], told["headers"]) == ("anna", "run_1", ["host"])


ELSEWHERE = ["/runs", "/v1/runs", "/v1/files", "/v1/../runs", "/v1/%2e%2e/runs", "/v1/models/../../runs", "/V1/models"]
ELSEWHERE += ["/v1/models/%2e%2e/%2e%2e/runs", "/v1/models//x", "/v1/models/x%0d%0ay", "/v1/chat/completions/", "/v1%2fmodels"]


@pytest.mark.parametrize("target", ELSEWHERE)
async def test_nothing_else_of_the_server_is_there(open_: Open, application: Application, target: str) -> None:
    async with open_(application=application, rule=MODELS) as outlet:
        for method in ("GET", "POST", "DELETE"):
            assert (await outlet.ask(method, target)).status in (400, 404)
    assert application.asked == []


async def test_questions_of_a_minute_are_counted(open_: Open, application: Application) -> None:
    """Each is an event of the run: without a limit code could fill the journal with them."""
    async with open_(application=application, rule=MODELS) as outlet:
        one = b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"
        last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        said = await outlet.say(one * MODEL_REQUESTS_PER_MINUTE + last)
        assert said.count(b"HTTP/1.1 200 ") == MODEL_REQUESTS_PER_MINUTE
        assert said.count(b"HTTP/1.1 429 ") == 1 and b"requests_per_minute" in said
        outlet.clock.seconds += 1
        assert (await outlet.ask("GET", "/v1/models")).status == 200


async def test_so_much_is_held_at_once_and_no_more(open_: Open, application: Application) -> None:
    """Bodies lie in the server's memory, which is not the box's."""
    half = MOST_HELD // 2
    application.go.clear()
    async with open_(application=application, rule=MODELS) as outlet, asyncio.timeout(50):
        first = await outlet.connect()
        first[1].write(POST + b"Content-Length: %d\r\n\r\n" % half + b" " * half)
        await application.came.wait()
        refused = await outlet.say(POST + b"Content-Length: %d\r\n\r\n" % (half + 1) + b" " * (half + 1))
        assert not refused or (refused.startswith(b"HTTP/1.1 429 ") and b"too_many_bytes" in refused)
        assert (await outlet.audited())[-1].reason == "too_many_bytes"
        assert len(application.asked) == 1
        application.go.set()
        assert (await first[0].readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        first[1].close()
        again = await outlet.ask("POST", "/v1/chat/completions", {"content-type": "application/json"}, b" " * (half + 1))
        assert again.status == 200


CUT = {
    "malformed": (b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\nzz\r\n", b"malformed"),
    "cut_short": (b"Content-Length: 10\r\n\r\n{", b"cut_short"),
}


@pytest.mark.parametrize("name", CUT)
async def test_half_a_body_is_the_box_s_mistake_and_none_of_the_server(open_: Open, application: Application, name: str) -> None:
    rest, code = CUT[name]
    async with open_(application=application, rule=MODELS) as outlet:
        said = await outlet.say(POST + rest, ends=True)
        assert said.startswith(b"HTTP/1.1 400 ") and code in said
        assert (await outlet.audited())[0].reason == name
    assert (application.asked, application.hung_up) == ([], 1)
