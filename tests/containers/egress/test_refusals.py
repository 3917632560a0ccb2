"""Bytes on a box's socket that are no request, two requests at once, or one for somewhere else."""

import pytest

from agentrt.containers import Upstream
from agentrt.kernel import Invalid
from containers.egress.conftest import BOX, SECRET, Open, Outlet
from fixtures.raw_http import RawServer

pytestmark = pytest.mark.anyio

HOST = b"Host: a\r\n"
POST = b"POST /up/x HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

MALFORMED = {
    "bare LF": b"GET /up/x HTTP/1.1\nHost: a\n\n",
    "bare LF after a header": b"GET /up/x HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "bare CR": b"GET /up/x HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
    "NUL in a value": b"GET /up/x HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n",
    "NUL in a path": b"GET /up/\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "control byte": b"GET /up/x HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
    "folded line": b"GET /up/x HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "folded first line": b"GET /up/x HTTP/1.1\r\n Host: a\r\n\r\n",
    "length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "the same length twice": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "signed length": POST + b"Content-Length: +3\r\n\r\nabc",
    "negative length": POST + b"Content-Length: -3\r\n\r\nabc",
    "endless length": POST + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "not quite chunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked, then not": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "zipped chunks": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "old version with chunks": b"POST /up/x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "size of a chunk": CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n",
    "negative chunk": CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
    "hexadecimal prefix": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "endless chunk": CHUNKED + b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "space after the size": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "bare LF in chunks": CHUNKED + b"3\nabc\n0\n\n",
    "chunk longer than said": CHUNKED + b"3\r\nabcX0\r\n\r\n",
    "trailer": CHUNKED + b"3\r\nabc\r\n0\r\nX-Y: z\r\n\r\n",
    "bare LF as trailer": CHUNKED + b"3\r\nabc\r\n0\r\n\n",
    "cut short": POST + b"Content-Length: 10\r\n\r\nabc",
    "chunks cut short": CHUNKED + b"3\r\nabc\r\n",
    "space before the colon": b"GET /up/x HTTP/1.1\r\nHost : a\r\n\r\n",
    "no colon": b"GET /up/x HTTP/1.1\r\nHost\r\n\r\n",
    "no name": b"GET /up/x HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "bad name": b"GET /up/x HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n",
    "two hosts": b"GET /up/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET /up/x HTTP/1.1\r\n\r\n",
    "version 0.9": b"GET /up/x\r\n\r\n",
    "version 1.0": b"GET /up/x HTTP/1.0\r\nHost: a\r\n\r\n",
    "version 2": b"GET /up/x HTTP/2.0\r\nHost: a\r\n\r\n",
    "preface of version 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tab": b"GET\t/up/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "unknown method": b"STEAL /up/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "TRACE": b"TRACE /up/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "another protocol": b"GET /up/x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "another protocol, unasked": b"GET /up/x HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n",
    "expectation": POST + b"Expect: payment\r\nContent-Length: 1\r\n\r\na",
    "TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    "noise": bytes(range(256)),
    "head without end": b"GET /up/x HTTP/1.1\r\n" + b"X: " + b"y" * 200_000,
    "headers without end": b"GET /up/x HTTP/1.1\r\n" + b"X: y\r\n" * 40_000,
    "extensions without end": CHUNKED + b"3;" + b"x" * 200_000,
    "long target": b"GET /up/" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
}

TARGETS = [
    "http://127.0.0.1:1/x",
    "http://up/x",
    "//up/x",
    "up/x",
    "*",
    "/up//x",
    "/up/../other/x",
    "/up/a/../../other",
    "/up/.",
    "/up/..",
    "/up/./x",
    "/up/%2e%2e/admin",
    "/up/%2E%2E/admin",
    "/up/.%2e/admin",
    "/up/%252e%252e/admin",
    "/up/a%2fb",
    "/up/a%2Fb",
    "/up/a%252fb",
    "/up/a%5cb",
    "/up/a\\b",
    "/up/..\\admin",
    "/up/..;/admin",
    "/up/..;x=y/admin",
    "/up/%00",
    "/up/a%0d%0aX-Injected:%20y",
    "/up/a%0a",
    "/up/%zz",
    "/up/%2",
    "/up/x#y",
    "/up/x?y#z",
    "/up/{x}",
    "/up/caf\u00e9",
    # what some take for a slash, a dot, or the end of a path
    "/up/%c0%ae%c0%ae%c0%afadmin",
    "/up/%e0%80%af",
    "/up/%ff",
    "/up/a%ef%bc%8fb",
    "/up/%ef%bc%8e%ef%bc%8e/admin",
    "/up/%e2%80%a5/admin",
    "/up/%e2%80%a4%e2%80%a4/admin",
    "/up/..%3b/admin",
    "/up/.%3B/admin",
    "/up/..%253b/admin",
    "/up/admin%253f/x",
    "/up/admin%2523/x",
]


@pytest.fixture
def only(upstream: RawServer) -> dict[str, Upstream]:
    return {"up": Upstream(origin=upstream.origin, header="authorization", value="Bearer ${SECRET}")}


def refused(said: bytes) -> bool:
    """One answer with a refusal, or nothing; never one of the upstream's."""
    return not said or (said.count(b"\r\n\r\n") == 1 and said[9:10] in b"45" and b"connection: close" in said)


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_no_request_goes_nowhere(open_: Open, only: dict[str, Upstream], upstream: RawServer, name: str) -> None:
    async with open_(only) as outlet:
        # whatever is smuggled behind it is not read as a request either
        cut = "short" in name or "TLS" in name
        said = await outlet.say(MALFORMED[name] + (b"" if cut else b"GET /up/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"), ends=cut)
        assert refused(said), said
        assert not any(b"smuggled" in request for request in upstream.requests)
        if "cut short" not in name and "chunk" not in name and "trailer" not in name and "size" not in name:
            assert upstream.requests == []
        assert SECRET.encode() not in said
        assert (await outlet.audited())[0].reason


@pytest.mark.parametrize("target", TARGETS)
async def test_a_target_that_can_be_read_in_two_ways_goes_nowhere(
    open_: Open, only: dict[str, Upstream], upstream: RawServer, target: str
) -> None:
    async with open_(only) as outlet:
        said = await outlet.say(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        assert refused(said), said
        assert upstream.requests == []


async def test_plain_paths_go_through_as_they_were_written(open_: Open, only: dict[str, Upstream], upstream: RawServer) -> None:
    async with open_(only) as outlet:
        for target in (
            "/up/a/b.c/~d?e=%2F..&f=//",
            "/up/a%20b",
            "/up/a%3Db:c@d;e,f",
            "/up/",
            "/up/.well-known/x",
            "/up/a..b",
            "/up/%c3%a9%e2%80%a6",
        ):
            assert (await outlet.ask("GET", target)).status == 200, target
        assert (await outlet.ask("GET", "/up")).status == 200
        paths = [request.split(b" ")[1].decode() for request in upstream.requests]
        assert paths == [
            "/a/b.c/~d?e=%2F..&f=//",
            "/a%20b",
            "/a%3Db:c@d;e,f",
            "/",
            "/.well-known/x",
            "/a..b",
            "/%c3%a9%e2%80%a6",
            "/",
        ]


async def test_only_what_the_table_lets_through(open_: Open, upstream: RawServer) -> None:
    table = {
        "up": Upstream(origin=upstream.origin, methods=("GET",), paths=("/v1/*", "/health")),
        "other": Upstream(origin=upstream.origin),
    }
    async with open_(table, rule={"upstreams": ("up",)}) as outlet:
        told = {
            ("GET", "/up/v1/models"): 200,
            ("GET", "/up/health"): 200,
            ("POST", "/up/v1/models"): 405,
            ("DELETE", "/up/v1/models"): 405,
            ("GET", "/up/v2/models"): 403,
            ("GET", "/up/healthy"): 403,
            ("GET", "/up/%76%31/models"): 200,  # the same, spelled otherwise
            ("GET", "/up/%61dmin"): 403,
            ("GET", "/other/x"): 404,
            ("GET", "/nobody/x"): 404,
            ("GET", "/"): 404,
        }
        assert {asked: (await outlet.ask(*asked)).status for asked in told} == told
        reasons = {(event.method, event.path): event.reason for event in await outlet.audited(len(told))}
        assert reasons["GET", "/up/v1/models"] == ""
        assert reasons["POST", "/up/v1/models"] == "method_not_allowed"
        assert reasons["GET", "/up/v2/models"] == "path_not_allowed"
        assert reasons["GET", "/other/x"] == reasons["GET", "/nobody/x"] == "upstream_not_allowed"


async def test_a_socket_is_its_box_and_stands_for_nobody_before_and_after(
    open_: Open, only: dict[str, Upstream], upstream: RawServer
) -> None:
    async with open_(only) as outlet:
        assert (await outlet.ask("GET", "/up/x")).status == 200
        await outlet.egress.bind(BOX, None)
        answer = await outlet.ask("GET", "/up/x", {"x-user-id": "anna", "authorization": f"Bearer {SECRET}", "x-box": BOX})
        assert (answer.status, b"not_bound" in answer.body) == (403, True)
        await outlet.bind(upstreams=("up",))
        reader, writer = await outlet.connect()
        await outlet.egress.close(BOX)
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(OSError):
            await outlet.connect()
        await outlet.egress.close(BOX)
        await outlet.egress.bind(BOX, None)
        assert len(upstream.requests) == 1


async def test_two_boxes_have_two_ways_out(open_: Open, only: dict[str, Upstream], tmp_path) -> None:
    async with open_(only) as outlet:
        other = tmp_path / "other"
        other.mkdir()
        await outlet.egress.open("box0000000000002", other)
        neighbour = Outlet(outlet.egress, other, outlet.log, outlet.clock)
        assert (await neighbour.ask("GET", "/up/x")).status == 403
        assert (await outlet.ask("GET", "/up/x")).status == 200


async def test_requests_on_one_connection_are_answered_one_after_the_other(
    open_: Open, only: dict[str, Upstream], upstream: RawServer
) -> None:
    async with open_(only) as outlet:
        said = await outlet.say(
            b"GET /up/1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /up/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
            b"GET /up/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        assert said.count(b"HTTP/1.1 200 OK") == 3
        assert [request.split(b" ")[1] for request in upstream.requests] == [b"/1", b"/2", b"/3"]


@pytest.mark.parametrize("more", [b"NONSENSE", b"TRACE /up/2 HTTP/1.1\r\nHost: a\r\n\r\n" * 9])
@pytest.mark.parametrize("head", ["", "Connection: close\r\n"])
async def test_what_follows_a_request_at_once_and_is_none_takes_no_answer_away(
    open_: Open, only: dict[str, Upstream], head: str, more: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async with open_(only) as outlet:
        said = await outlet.say(f"GET /up/1 HTTP/1.1\r\nHost: a\r\n{head}\r\n".encode() + more)
        assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    out, err = capfd.readouterr()
    assert "crashed" not in out + err


async def test_more_connections_than_a_box_may_have_are_hung_up_on(open_: Open, only: dict[str, Upstream]) -> None:
    async with open_(only) as outlet:
        held = [await outlet.connect() for _ in range(64)]
        for _, writer in held:
            writer.write(b"GET /up/x HTTP/1.1\r\n")
            await writer.drain()
        assert await outlet.say(b"GET /up/x HTTP/1.1\r\nHost: a\r\n\r\n") == b""
        for _, writer in held:
            writer.close()


async def test_a_long_name_does_not_fill_the_log(open_: Open) -> None:
    async with open_() as outlet:
        assert (await outlet.ask("GET", f"/{'x' * 5000}/{'y' * 3000}")).status == 404
        (told,) = await outlet.audited()
        assert (told.upstream, len(told.path)) == ("x" * 64, 500)


async def test_a_flood_of_refusals_does_not_fill_the_log(open_: Open, only: dict[str, Upstream]) -> None:
    async with open_(only) as outlet:
        for _ in range(200):
            await outlet.ask("GET", "/nobody/x")
        assert len(outlet.log) == 120
        outlet.clock.seconds += 60
        await outlet.ask("GET", "/nobody/x")
        assert (await outlet.audited(121))[-1].left_out == 80


@pytest.mark.parametrize(
    ("name", "origin"),
    [("v1", "https://example.com"), ("a/b", "https://example.com"), ("up", "https://example.com/path"), ("up", "ftp://a"),
     ("up", "https://user:pw@example.com"), ("up", "example.com"), ("up", "https://example.com\r\nX: y")],
)  # fmt: skip
async def test_a_table_that_is_written_wrong_is_refused_at_start(open_: Open, name: str, origin: str) -> None:
    with pytest.raises(Invalid, match=f"containers.upstreams.{name}"):
        async with open_({name: Upstream(origin=origin)}):
            pass
