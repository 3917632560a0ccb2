"""Answers that are longer than Gemini gives in one go: it stops with a token, and is asked to go on with that."""

from typing import Any

import pytest

from agentrt.messages import Usage
from fixtures.wires import WIRES, collect, done_of, failure_of, text_of
from upstreams.gemini_upstream import GeminiUpstream, Reply, call, event, piece, says

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("wire", ["gemini"]),
    pytest.mark.parametrize("carrier", ["native", "sdk"]),
]

ASK = WIRES["gemini"].asks()


def part_of(text: str, token: str | None) -> Reply:
    """A stream that stops before the answer does; with `token` it may be gone on with."""
    checkpoint = piece({"text": text}, token=token and "an older one")
    return Reply([event(checkpoint), event(piece({"text": "…"}, finish="CONTINUATION", token=token))])


async def test_an_answer_in_several_pieces_is_one(acme: Any, upstream: GeminiUpstream) -> None:
    last = Reply([event(piece({"text": "three."})), event(piece(call("look", {}, "c2ln"), finish="STOP"))])
    upstream.script(part_of("One", "dG9rZW4x"), part_of("two", "dG9rZW4y"), last)
    async with acme() as client:
        chunks = await collect(client, ASK)
    done = done_of(chunks)
    assert text_of(chunks) == done.message.text == "One…two…three."
    assert [call.id for call in done.message.calls] == ["call_abc000"]
    assert (done.stop, done.usage) == ("tool_calls", Usage(33, 21, 9, 6)), "each request is billed"
    bodies = [chat.body for chat in upstream.chats]
    assert [body.pop("continuationToken", None) for body in bodies] == [None, "dG9rZW4x", "dG9rZW4y"]
    assert bodies[0] == bodies[1] == bodies[2]


@pytest.mark.parametrize("replies", [(part_of("Half", None),), (part_of("Half", "dG9rZW4="), part_of("", "dG9rZW4="))])
async def test_what_cannot_be_gone_on_with_was_cut(acme: Any, upstream: GeminiUpstream, replies: tuple[Reply, ...]) -> None:
    upstream.script(*replies)
    async with acme() as client:
        done = done_of(await collect(client, ASK))
    assert done.message.text.startswith("Half")
    assert done.stop == "length"
    assert len(upstream.chats) == len(replies)


async def test_a_piece_that_breaks_off_fails_the_answer_with_what_it_took(acme: Any, upstream: GeminiUpstream) -> None:
    upstream.script(part_of("Half", "dG9rZW4="), says("and", end="cut"))
    async with acme() as client:
        failure = await failure_of(client, ASK)
    assert failure.code == "connection"
    assert (failure.usage.input, failure.usage.output) == (22, 14)


async def test_an_answer_without_end_is_given_up(acme: Any, upstream: GeminiUpstream) -> None:
    upstream.script(*(part_of("more", f"dG9rZW4{number}") for number in range(30)))
    async with acme() as client:
        assert (await failure_of(client, ASK)).code == "truncated"
    assert len(upstream.chats) == 20
