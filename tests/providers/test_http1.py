"""Our HTTP client against servers of raw bytes."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from agentrt.providers import ModelFailure, ProviderEntry
from agentrt.providers.pool import Origin, Pool
from agentrt.providers.reply import Reply
from agentrt.providers.transport import Transport
from upstreams.raw_upstream import Peer, Script, Server

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def upstream(
    *scripts: Script, host: str = "127.0.0.1", url: str = "http://{}/v1", tls: Any = None, **entry: Any
) -> AsyncIterator[tuple[Server, Transport]]:
    """A server with these scripts, and a transport to it; `url` is filled with its address."""
    server = Server(scripts)
    listening = await asyncio.start_server(server.serve, host, 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    transport = Transport("acme", ProviderEntry(**{"base_url": url.format(name), **entry}))
    async with listening:
        try:
            yield server, transport
        finally:
            await transport.close()
            await server.silent()


def answers(*replies: bytes) -> Script:
    """Answer one request with each, then close when the client leaves."""

    async def play(peer: Peer) -> None:
        for reply in replies:
            if not await peer.request():
                return
            await peer.send(reply)
        await peer.gone()

    return play


def closes_after(*replies: bytes) -> Script:
    """Answer with these, then close the connection."""

    async def play(peer: Peer) -> None:
        for reply in replies:
            await peer.request()
            await peer.send(reply)

    return play


async def always(peer: Peer) -> None:
    while await peer.request():
        await peer.send(OK)


async def whole(transport: Transport) -> bytes:
    reply = await transport.post("/chat", b"{}")
    try:
        return await reply.whole()
    finally:
        reply.close()


async def failure_of(transport: Transport) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        await whole(transport)
    return caught.value


async def test_one_connection_serves_one_request_after_the_other() -> None:
    async with upstream(always) as (server, transport):
        for _ in range(5):
            assert await whole(transport) == b"{}"
        assert await transport.get("/models", within_s=5) == b"{}"
    assert server.connections == 1


async def test_what_is_sent(anyio_backend: Any) -> None:
    heads: list[str] = []

    async def listen(peer: Peer) -> None:
        while head := await peer.request():
            heads.append(head)
            await peer.send(OK)

    headers = {"X-Own": "ä", "user-agent": "mine"}
    async with upstream(listen, url="http://ann:s%40cret@{}/some/prefix/", headers=headers) as (_, transport):
        await whole(transport)
        await transport.get("/models/grün?page=1", within_s=5)
    post, get = (head.split("\r\n") for head in heads)
    assert post[0] == "POST /some/prefix/chat HTTP/1.1"
    assert get[0] == "GET /some/prefix/models/gr%C3%BCn?page=1 HTTP/1.1"
    assert {"X-Own: ä", "user-agent: mine", "Content-Length: 2", "Authorization: Basic YW5uOnNAY3JldA=="} <= set(post)
    assert sum(line.lower().startswith("user-agent") for line in post) == 1
    assert not any(line.startswith("Content-Length") for line in get)


async def test_a_query_of_the_base_url_stays_a_query() -> None:
    heads: list[str] = []

    async def listen(peer: Peer) -> None:
        heads.append(await peer.request())
        await peer.send(OK)

    async with upstream(listen, url="http://{}/v1?api-version=3") as (_, transport):
        await whole(transport)
    assert heads[0].startswith("POST /v1/chat?api-version=3 HTTP/1.1\r\n")


@pytest.mark.parametrize("header", [{"X-Bad": "a\r\nX-Injected: b"}, {"X Bad": "a"}])
async def test_a_header_that_cannot_be_sent_is_named(header: dict[str, str]) -> None:
    async with upstream(always, headers=header) as (server, transport):
        failure = await failure_of(transport)
    assert failure.code == "connection"
    assert repr(next(iter(header))) in failure.message
    assert server.connections == 0


async def test_an_ipv6_address_in_brackets_is_understood() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with upstream(always, host="::1") as (_, transport):
        assert await whole(transport) == b"{}"


async def test_a_name_with_several_addresses_is_tried_at_each() -> None:
    async with upstream(always) as (_, transport):
        port = transport.url.split(":")[2].partition("/")[0]
        by_name = Transport("acme", ProviderEntry(base_url=f"http://localhost:{port}/v1"))
        assert await whole(by_name) == b"{}"
        await by_name.close()


async def test_a_request_on_a_connection_that_the_server_gave_up_is_sent_again_once() -> None:
    async def gives_up(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()

    async with upstream(gives_up, always) as (server, transport):
        assert [await whole(transport), await whole(transport)] == [b"{}", b"{}"]
        assert server.connections == 2

    async with upstream(gives_up, closes_after(), always) as (server, transport):
        await whole(transport)
        assert (await failure_of(transport)).message == "acme: the connection was closed without an answer"
        assert server.connections == 2


@pytest.mark.parametrize("first", [closes_after(b""), closes_after(OK, b"HTTP/1.1 2")], ids=["new", "begun"])
async def test_no_other_request_is_sent_twice(first: Script) -> None:
    async with upstream(first, always) as (server, transport):
        with suppress(ModelFailure):
            await whole(transport)
            await whole(transport)
        assert server.connections == 1


async def test_a_connection_that_was_closed_while_idle_is_not_used() -> None:
    async with upstream(closes_after(OK), always) as (server, transport):
        await whole(transport)
        await server.silent()
        assert await whole(transport) == b"{}"
    assert server.connections == 2


async def test_an_idle_connection_is_closed_after_a_while() -> None:
    async with upstream(always) as (server, transport):
        port = int(transport.url.split(":")[2].partition("/")[0])
        pool = Pool(Origin("127.0.0.1", port, False), limit=2, connect_s=5, idle_s=0.05)
        connection = await pool.take()
        await connection.ask(b"GET / HTTP/1.1\r\n\r\n")
        assert await connection.read() == b"{}"
        pool.give_back(connection)
        await server.silent()  # the client has left
        assert await pool.take() is not connection
        await pool.close()


async def test_requests_beyond_the_limit_wait_in_turn_and_may_leave() -> None:
    order: list[str] = []
    gate, both_asked, asked = asyncio.Event(), asyncio.Event(), 0

    async def listen(peer: Peer) -> None:
        nonlocal asked
        while await peer.request():
            asked += 1
            if asked == 2:
                both_asked.set()
            await gate.wait()
            await peer.send(OK)

    async with upstream(listen, max_connections=2) as (server, transport):

        async def ask(name: str) -> None:
            await whole(transport)
            order.append(name)

        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(ask(name)) for name in "abcdef"}
            await both_asked.wait()
            tasks["d"].cancel()
            gate.set()
        assert sorted(order[:2]) == ["a", "b"]
        assert sorted(order) == ["a", "b", "c", "e", "f"]
        assert order.index("c") < order.index("f")
        assert server.connections == 2


async def test_a_place_is_not_lost_with_who_was_to_have_it() -> None:
    async with upstream(always, max_connections=1) as (server, transport):
        held = await transport.post("/chat", b"{}")
        await held.whole()
        async with asyncio.TaskGroup() as group:
            leaving = group.create_task(whole(transport))
            staying = group.create_task(whole(transport))
            await asyncio.sleep(0)
            held.close()  # its place goes to the first, who leaves before it can take it
            leaving.cancel()
        assert staying.result() == b"{}"
        assert await whole(transport) == b"{}"
        assert server.connections == 1


async def test_a_place_is_not_lost_with_a_connection_that_cannot_be_made() -> None:
    transport = Transport("acme", ProviderEntry(base_url="http://127.0.0.1:9/v1", max_connections=1))
    for _ in range(3):
        assert "refused the connection" in (await failure_of(transport)).message
    await transport.close()


async def test_closing_ends_answers_and_waiters() -> None:
    async with upstream(answers(OK[:-1]), max_connections=1) as (_, transport):
        reply = await transport.post("/chat", b"{}")
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(failure_of_reading(reply))
            waiting = group.create_task(failure_of(transport))
            await asyncio.sleep(0)
            await transport.close()
        reply.close()
    assert (reading.result().code, waiting.result().code) == ("connection", "connection")


async def failure_of_reading(reply: Reply) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        await reply.whole()
    return caught.value


async def test_memory_is_bounded_however_slow_the_reader_is() -> None:
    size, sent, all_sent = 48 * 1024 * 1024, 0, asyncio.Event()

    async def flood(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while sent < size:
            await peer.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent += 65536
        await peer.send(b"0\r\n\r\n")
        all_sent.set()
        await peer.gone()

    async with upstream(flood) as (_, transport):
        reply = await transport.post("/chat", b"{}")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await all_sent.wait()
        assert sent < size / 2, "the rest waits at the server"
        read = [len(piece) async for piece in pieces(reply)]
        await reply.finish()
    assert sum(read) == size
    assert max(read) < 1024 * 1024


async def pieces(reply: Reply) -> AsyncIterator[bytes]:
    while piece := await reply.read():
        yield piece


async def test_interim_answers_are_passed_over() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Type: text/html\r\n\r\n"
    async with upstream(answers(interim + OK, interim + OK)) as (server, transport):
        reply = await transport.post("/chat", b"{}")
        assert (reply.status, reply.content_type, await reply.whole()) == (200, "application/json", b"{}")
        await reply.finish()
        assert await whole(transport) == b"{}"
    assert server.connections == 1


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_body_without_a_length_ends_with_its_connection(version: bytes) -> None:
    async with upstream(closes_after(b"HTTP/" + version + b" 200 OK\r\n\r\nall of it")) as (server, transport):
        assert [await whole(transport), await whole(transport)] == [b"all of it"] * 2
    assert server.connections == 2


@pytest.mark.parametrize("more", [b"garbage", OK, b"\0"])
async def test_bytes_behind_an_answer_cost_the_connection_and_not_the_answer(more: bytes) -> None:
    async with upstream(answers(OK + more, OK), always) as (server, transport):
        assert [await whole(transport), await whole(transport)] == [b"{}", b"{}"]
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    ],
    ids=["another protocol", "status", "upgrade", "two lengths", "negative", "chunk size", "compressed", "head bomb"],
)
async def test_an_answer_that_is_not_http_is_malformed(answer: bytes) -> None:
    async with upstream(answers(answer)) as (_, transport):
        failure = await failure_of(transport)
    assert (failure.code, failure.retryable) == ("malformed", False)


@pytest.mark.parametrize("answer", [OK[:-1], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{"])
async def test_a_body_that_breaks_off_is_said(answer: bytes) -> None:
    async with upstream(closes_after(answer)) as (_, transport):
        failure = await failure_of(transport)
    assert failure.message == "acme: the connection was closed in the middle of the answer"
    assert (failure.code, failure.retryable) == ("connection", True)


async def test_closing_a_reply_before_its_end_hangs_up_at_once() -> None:
    left = asyncio.Event()

    async def never_ends(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK[:-1])
        await peer.gone()
        left.set()

    async with upstream(never_ends, always) as (_, transport):
        reply = await transport.post("/chat", b"{}")
        assert await reply.read() == b"{"
        reply.close()
        reply.close()
        async with asyncio.timeout(30):
            await left.wait()
        assert await whole(transport) == b"{}"
