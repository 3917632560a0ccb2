"""An answer that does not end: it is left long before it fills the memory."""

from typing import Any

import pytest

from agentrt.providers import ModelFailure
from agentrt.providers.reply import MOST_ANSWER
from fixtures.wires import WIRES
from upstreams.http_upstream import Reply, event
from upstreams.openai_upstream import chunk

pytestmark = pytest.mark.anyio


async def test_a_stream_without_end_is_left(upstream: Any, acme: Any) -> None:
    flood = event(chunk({"content": "x" * 1_000_000}))
    upstream.script(Reply([flood] * 1000))
    read = 0
    async with acme() as client:
        with pytest.raises(ModelFailure, match="without end") as caught:
            async for chunks in client.stream(WIRES["openai"].asks()):
                read += sum(len(delta.text) for delta in chunks)
    assert caught.value.code == "malformed" and read < MOST_ANSWER
    assert upstream.chats[0].hung_up.wait(10), "and it hears no more of it"
