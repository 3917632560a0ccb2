"""Bodies that a gateway compressed although it was asked not to: they are read all the same, and never without bound."""

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from agentrt.providers import ModelFailure
from agentrt.providers.connection_failures import Broken, NotHttp
from agentrt.providers.unpacking import Unpacking
from fixtures.wires import WIRES, collect, text_of
from upstreams import openai_upstream as openai
from upstreams.http_upstream import Reply

pytestmark = pytest.mark.anyio


def deflated(body: bytes) -> bytes:
    return zlib.compress(body)


def bare(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


PACKERS = [("gzip", gzip.compress), ("deflate", deflated), ("deflate", bare)]


def packed(reply: Reply, coding: str, pack: Callable[[bytes], bytes], size: int = 7) -> Reply:
    body = pack(b"".join(frame for frame in reply.frames if isinstance(frame, bytes)))
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return Reply(pieces, reply.status, (*reply.headers, ("content-encoding", coding)), reply.end)


@pytest.mark.parametrize("carrier", ["native", "sdk"])
@pytest.mark.parametrize(("coding", "pack"), PACKERS, ids=["gzip", "deflate", "deflate without a head"])
async def test_a_packed_stream_is_read(upstream: Any, acme: Any, coding: str, pack: Callable[[bytes], bytes]) -> None:
    upstream.script(packed(openai.says("Hello, wörld"), coding, pack))
    async with acme() as client:
        assert text_of(await collect(client, WIRES["openai"].asks())) == "Hello, wörld"


@pytest.mark.parametrize("carrier", ["native", "sdk"])
@pytest.mark.parametrize(("coding", "said"), [("gzip", "slow down"), ("br", "429")], ids=["gzip", "one that cannot be read"])
async def test_a_packed_refusal_keeps_its_status_and_its_pause(upstream: Any, acme: Any, coding: str, said: str) -> None:
    upstream.script(packed(openai.refuses(429, "slow down", retry_after="7"), coding, gzip.compress))
    async with acme() as client:
        with pytest.raises(ModelFailure, match=said) as caught:
            await collect(client, WIRES["openai"].asks())
    assert (caught.value.code, caught.value.retryable, caught.value.retry_after_s) == ("rate_limit", True, 7.0)


@pytest.mark.parametrize(
    ("coding", "pack", "code"),
    [
        ("br", gzip.compress, "malformed"),
        ("gzip", bytes, "malformed"),
        ("gzip", lambda body: gzip.compress(body)[:-9], "connection"),
    ],
    ids=["unknown", "not packed at all", "cut"],
)
async def test_what_cannot_be_unpacked_is_no_answer(upstream: Any, acme: Any, coding: str, pack: Any, code: str) -> None:
    half = openai.streams({"content": "Half"}, finish=None)
    upstream.script(packed(half, coding, pack))
    async with acme() as client:
        with pytest.raises(ModelFailure) as caught:
            await collect(client, WIRES["openai"].asks())
    assert caught.value.code == code


def test_a_bomb_is_unpacked_in_pieces() -> None:
    size = 64 * 1024 * 1024
    packing = Unpacking(b"gzip")
    packing.feed(gzip.compress(bytes(size)))
    pieces = [len(piece) for piece in iter(packing.next, b"")]
    packing.end()
    assert sum(pieces) == size and max(pieces) <= 256 * 1024


def test_nothing_at_all_is_a_body_and_half_of_one_is_not() -> None:
    Unpacking(b"gzip").end()
    packing = Unpacking(b"gzip")
    packing.feed(gzip.compress(b"whole")[:12])
    packing.next()
    with pytest.raises(Broken):
        packing.end()
    with pytest.raises(NotHttp):
        Unpacking(b"zstd").feed(b"x")
