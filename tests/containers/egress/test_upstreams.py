"""Requests to upstreams: credentials go out and never come back, answers are cleaned while they flow, budgets hold."""

import asyncio
import base64
import json
from urllib.parse import quote

import pytest

from agentrt.containers import Upstream
from containers.egress.conftest import SECRET, Answer, Open
from fixtures.raw_http import RawServer, chunked, plain

pytestmark = pytest.mark.anyio

RAW = SECRET.encode()
STARS = b"*" * len(RAW)


def table(upstream: RawServer, **rest: object) -> dict[str, Upstream]:
    known = {"origin": upstream.origin, "header": "Authorization", "value": "Bearer ${SECRET}"}
    return {"up": Upstream(**(known | rest))}


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def test_the_request_is_put_together_anew_with_the_credential(open_: Open, upstream: RawServer) -> None:
    sent = {
        "authorization": "Bearer dummy",
        "Authorization ".strip().upper(): "Basic ZHVtbXk6ZHVtbXk=",
        "x-api-key": "dummy",
        "cookie": "session=1",
        "x-forwarded-for": "10.0.0.1",
        "x-forwarded-host": "admin",
        "forwarded": "for=10.0.0.1",
        "x-real-ip": "10.0.0.1",
        "via": "1.1 me",
        "te": "trailers",
        "proxy-authorization": "Basic x",
        "x-http-method-override": "DELETE",
        "x-original-url": "/admin",
        "connection": "close, x-private",
        "x-private": "hop",
        "accept-encoding": "gzip",
        "range": "bytes=0-5",
        "x-custom": "kept",
        "content-type": "application/json",
        "user-agent": "sdk/1.0",
    }
    async with open_(table(upstream)) as outlet:
        answer = await outlet.ask("POST", "/up/v1/x?a=b", sent, b'{"a":1}')
        assert (answer.status, answer.body) == (200, b"ok")
        assert upstream.requests[0].endswith(b'\r\n\r\n{"a":1}')
        assert upstream.requests[0].startswith(b"POST /v1/x?a=b HTTP/1.1\r\n")
        assert headers_of(upstream.requests[0]) == {
            "host": f"127.0.0.1:{upstream.port}",
            "authorization": f"Bearer {SECRET}",
            "x-custom": "kept",
            "content-type": "application/json",
            "content-length": "7",
            "user-agent": "sdk/1.0",
            "accept-encoding": "identity",
        }


FORMS = {
    "as it is": RAW,
    "in JSON": json.dumps(SECRET).encode(),
    "in an address": quote(SECRET, safe="").encode(),
    "as base64": base64.b64encode(RAW),
    "with its scheme": b"Bearer " + RAW,
}


@pytest.mark.parametrize("form", FORMS)
async def test_a_reflected_credential_never_comes_in_however_it_is_cut(open_: Open, upstream: RawServer, form: str) -> None:
    body = b"you sent <" + FORMS[form] + b"> to us"
    async with open_(table(upstream)) as outlet:
        for cut in (1, 2, 3, 5, 7, 11, 1000):
            pieces = [body[n : n + cut] for n in range(0, len(body), cut)]
            upstream.answer = chunked(*pieces, headers=b"x-echo: " + body + b"\r\n")
            answer = await outlet.ask("GET", "/up/x")
            assert FORMS[form] not in answer.raw
            assert RAW not in answer.raw
            assert answer.body.startswith(b"you sent <")
            assert answer.body.endswith(b"> to us")
            assert len(answer.body) == len(body), "lengths stay true"
            assert b"*" * 20 in answer.body
            assert "*" * 20 in answer.headers["x-echo"]


async def test_what_only_looks_like_the_beginning_of_a_credential_comes_through_whole(open_: Open, upstream: RawServer) -> None:
    body = RAW[:-1] + RAW[:-1] + b"sk-" + RAW + RAW[:4] + b"\n" + RAW[:7]
    async with open_(table(upstream)) as outlet:
        for cut in (1, 3, 1000):
            upstream.answer = chunked(*(body[n : n + cut] for n in range(0, len(body), cut)))
            answer = await outlet.ask("GET", "/up/x")
            assert answer.body == body.replace(RAW, STARS)


async def test_cookies_redirects_and_hop_by_hop_headers_stay_outside(open_: Open, upstream: RawServer) -> None:
    headers = (
        b"set-cookie: a=b\r\nlocation: https://elsewhere.example/x\r\nrefresh: 0; url=http://x\r\nalt-svc: h3\r\n"
        b"connection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nx-kept: yes\r\n"
    )
    upstream.answer = plain(b"moved", headers, b"302 Found")
    async with open_(table(upstream)) as outlet:
        answer = await outlet.ask("GET", "/up/x")
        assert answer.status == 302
        assert set(answer.headers) == {"x-kept", "content-length", "connection"}
        assert len(upstream.requests) == 1, "nobody follows it"


async def test_a_redirect_within_what_is_let_through_is_shown_as_the_box_can_follow_it(open_: Open, upstream: RawServer) -> None:
    async with open_(table(upstream, paths=("/v1/*",))) as outlet:
        for location, shown in {
            "/v1/y?z=1": "/up/v1/y?z=1",
            "y": "/up/v1/y",
            f"{upstream.origin}/v1/y": "/up/v1/y",
            "/admin": None,
            "../admin": None,
            "/v1/../admin": None,
            "/v1/%2e%2e/admin": None,
            f"//127.0.0.1:{upstream.port + 1}/v1/y": None,
            f"{upstream.origin}@evil.example/v1/y": None,
            f"{upstream.origin}.evil.example/v1/y": None,
            "https://127.0.0.1/v1/y": None,
            "javascript:alert(1)": None,
        }.items():
            upstream.answer = plain(b"", b"location: " + location.encode() + b"\r\n", b"307 Temporary Redirect")
            assert (await outlet.ask("GET", "/up/v1/x")).headers.get("location") == shown, location


async def test_placeholders_are_filled_in_for_the_upstream_that_owns_them(open_: Open, upstream: RawServer) -> None:
    ways = table(upstream, header="", value="${SECRET} ${OTHER}")
    async with open_(ways) as outlet:
        sent = {"x-key": "key {{agentrt:SECRET}}", "authorization": "Bearer {{agentrt:OTHER}}"}
        answer = await outlet.ask("POST", "/up/x", sent, b'{"key": "{{agentrt:SECRET}}", "not": "{{SECRET}} {{agentrt:}}"}')
        assert answer.status == 200
        got = headers_of(upstream.requests[0])
        assert (got["x-key"], got["authorization"]) == (f"key {SECRET}", "Bearer another-credential")
        assert upstream.requests[0].endswith(b'{"key": "' + RAW + b'", "not": "{{SECRET}} {{agentrt:}}"}')
        chunks = b"".join(b"1\r\n%c\r\n" % c for c in b"<{{agentrt:SECRET}}>") + b"0\r\n\r\n"
        await outlet.ask("POST", "/up/x", {"transfer-encoding": "chunked"}, chunks)
        assert upstream.requests[1].endswith(b"\r\n\r\n<" + RAW + b">")


@pytest.mark.parametrize("place", ["a header", "a header that is dropped", "the body", "the address", "the query"])
async def test_placeholders_sent_elsewhere_are_refused_and_written_down(open_: Open, upstream: RawServer, place: str) -> None:
    """`up` owns SECRET; to `other` it is nobody's, and neither takes one in its address."""
    ways = table(upstream) | {"other": Upstream(origin=upstream.origin)}
    async with open_(ways) as outlet:
        for name in ("SECRET", "PATH", "OTHER"):
            word = "{{agentrt:" + name + "}}"
            match place:
                case "a header":
                    answer = await outlet.ask("GET", "/other/x", {"x-key": word})
                case "a header that is dropped":
                    answer = await outlet.ask("GET", "/other/x", {"authorization": word})
                case "the body":
                    answer = await outlet.ask("POST", "/other/x", {}, b'{"a":"' + word.encode() + b'"}')
                case "the address":
                    answer = await outlet.ask("GET", f"/up/{quote(word)}")
                case _:
                    answer = await outlet.ask("GET", f"/up/x?key={word}")
            assert answer.status == 403
            assert outlet.log[-1].reason.startswith("placeholder")
        assert upstream.requests == []


async def test_a_long_body_flows_and_no_placeholder_in_it(open_: Open, upstream: RawServer) -> None:
    async with open_(table(upstream)) as outlet:
        long = b"x" * 3_000_000
        assert (await outlet.ask("POST", "/up/x", {}, long)).status == 200
        assert upstream.requests[0].endswith(b"\r\n\r\n" + long)
        tricky = b"{{agentrt" * 200_000  # the beginnings of placeholders
        assert (await outlet.ask("POST", "/up/x", {}, tricky)).status == 200
        assert upstream.requests[1].endswith(b"\r\n\r\n" + tricky)
        answer = await outlet.ask("POST", "/up/x", {}, b"x" * 2_000_000 + b"{{agentrt:SECRET}}" + b"y" * 1000)
        assert answer.status == 413
        assert not any(b"{{agentrt:SECRET}}" in request or RAW + b"yyy" in request for request in upstream.requests)
        assert outlet.log[-1].reason == "placeholder_in_long_body"


async def test_an_answer_flows_while_it_is_made(open_: Open, upstream: RawServer) -> None:
    go = asyncio.Event()

    async def slowly(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for n in range(3):
            writer.write(b"b\r\ndata: %03d\n\n\r\n" % n)
            await writer.drain()
            await go.wait()
            go.clear()
        writer.write(b"0\r\n\r\n")

    upstream.answer = slowly
    async with open_(table(upstream)) as outlet, asyncio.timeout(30):
        reader, writer = await outlet.connect()
        writer.write(b"GET /up/x HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        for n in range(3):
            assert b"data: %03d\n\n" % n in await reader.readuntil(b"\n\n")
            go.set()
        await reader.readuntil(b"0\r\n\r\n")
        writer.close()


async def test_the_upstream_is_let_go_when_the_box_hangs_up(open_: Open, upstream: RawServer) -> None:
    asked = asyncio.Event()

    async def never(request: bytes, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.Event().wait()

    upstream.answer = never
    async with open_(table(upstream)) as outlet, asyncio.timeout(30):
        _, writer = await outlet.connect()
        writer.write(b"GET /up/x HTTP/1.1\r\nHost: a\r\n\r\n")
        await asked.wait()
        writer.transport.abort()
        assert (await outlet.audited())[0].reason == "hung_up"


async def test_an_upstream_that_fails_is_told_without_its_address(open_: Open, upstream: RawServer) -> None:
    async def breaks_off(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart")
        await writer.drain()
        writer.transport.abort()

    async with open_(table(upstream) | {"gone": Upstream(origin="http://127.0.0.1:1")}) as outlet:
        answer = await outlet.ask("GET", "/gone/x")
        assert (answer.status, b"127.0.0.1" in answer.body) == (502, False)
        upstream.answer = b"nonsense\r\n\r\n"
        assert (await outlet.ask("GET", "/up/x")).status == 502
        upstream.answer = plain(b"\x1f\x8b...", b"content-encoding: gzip\r\n")
        assert (await outlet.ask("GET", "/up/x")).status == 502
        upstream.answer = breaks_off
        cut = await outlet.ask("GET", "/up/x")
        assert len(cut.body) < 100, "a cut answer is cut short, not made whole"
        assert [event.reason for event in outlet.log] == [
            "upstream_failed",
            "upstream_failed",
            "encoded_answer",
            "upstream_failed",
        ]


@pytest.mark.parametrize("value", ["Bearer ${MISSING}", "Bearer ${SHORT}"])
async def test_a_credential_that_is_not_set_is_an_error_of_that_request(open_: Open, upstream: RawServer, value: str) -> None:
    async with open_(table(upstream, value=value)) as outlet:
        answer = await outlet.ask("GET", "/up/x")
        assert (answer.status, upstream.requests) == (503, [])
        assert b"credential_missing" in answer.body


async def test_requests_of_a_minute_and_bytes_of_a_day_are_counted(open_: Open, upstream: RawServer) -> None:
    ways = table(upstream, requests_per_minute=2, bytes_per_day=2000)
    async with open_(ways) as outlet:
        assert [(await outlet.ask("GET", "/up/x")).status for _ in range(3)] == [200, 200, 429]
        refused = await outlet.ask("GET", "/up/x")
        assert (refused.headers["retry-after"], outlet.log[-1].reason) == ("30", "requests_per_minute")
        outlet.clock.seconds += 61
        assert (await outlet.ask("GET", "/up/x")).status == 200
        upstream.answer = plain(b"x" * 5000)
        cut = await outlet.ask("GET", "/up/x")
        assert len(cut.body) < 5000
        outlet.clock.seconds += 61
        assert (await outlet.ask("GET", "/up/x")).status == 429
        assert outlet.log[-1].reason == "bytes_per_day"
        outlet.clock.seconds += 86_400
        upstream.answer = plain(b"ok")
        assert (await outlet.ask("GET", "/up/x")).status == 200


async def test_a_new_box_of_the_same_session_begins_no_new_budget(open_: Open, upstream: RawServer, tmp_path) -> None:
    async with open_(table(upstream, requests_per_minute=1)) as outlet:
        assert (await outlet.ask("GET", "/up/x")).status == 200
        await outlet.egress.close("box0000000000001")
        await outlet.egress.open("box0000000000001", outlet.folder)
        await outlet.bind(upstreams=("up",))
        assert (await outlet.ask("GET", "/up/x")).status == 429


async def test_every_request_is_written_down_without_what_is_secret(open_: Open, upstream: RawServer) -> None:
    async with open_(table(upstream)) as outlet:
        await outlet.ask("POST", "/up/v1/x?token=hidden", {}, b"12345")
        (event,) = await outlet.audited()
        assert (event.upstream, event.method, event.path, event.status) == ("up", "POST", "/up/v1/x", 200)
        assert (event.sent_bytes, event.received_bytes, event.reason, event.left_out) == (5, 2, "", 0)
        assert event.duration_ms > 0


async def test_head_and_empty_answers_have_no_body(open_: Open, upstream: RawServer) -> None:
    async def answers(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" + (b"" if request.startswith(b"HEAD") else b"whole"))

    async with open_(table(upstream, methods=("GET", "HEAD"))) as outlet:
        upstream.answer = answers
        said = await outlet.say(
            b"HEAD /up/x HTTP/1.1\r\nHost: a\r\n\r\nGET /up/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        first, second = said.split(b"HTTP/1.1 ")[1:]
        assert first.endswith(b"\r\n\r\n")
        assert b"content-length: 5" in first
        assert second.endswith(b"whole")
        upstream.answer = b"HTTP/1.1 204 No Content\r\n\r\n"
        answer: Answer = await outlet.ask("GET", "/up/x")
        assert (answer.status, answer.body, "transfer-encoding" in answer.headers) == (204, b"", False)


async def test_who_waits_to_be_asked_for_its_body_is_asked(open_: Open, upstream: RawServer) -> None:
    async with open_(table(upstream)) as outlet, asyncio.timeout(30):
        reader, writer = await outlet.connect()
        writer.write(b"POST /up/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
