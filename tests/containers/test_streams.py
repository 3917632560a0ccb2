"""Output for one reader, who may stand still."""

import json

import pytest

from agentrt.containers.output import Emit
from agentrt.containers.streams import MOST_WAITING, Streams
from agentrt.kernel import Unavailable
from agentrt.tools import Output

pytestmark = pytest.mark.anyio

PIECES = 50_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_what_waits_for_a_reader_grows_with_the_output_and_not_with_its_pieces() -> None:
    async def work(emit: Emit):
        for _ in range(PIECES):
            await emit(Output("stdout", "a"))
            await emit(Output("stderr", "b"))
        raise Unavailable("over")

    async with Streams() as streams:
        frames = [frame async for frame in streams.frames(work)]
    told = [json.loads(frame.partition(b"data: ")[2]) for frame in frames]
    assert len(told) <= MOST_WAITING + 2
    assert [piece["type"] for piece in told[:4]] == ["stdout", "stderr", "stdout", "stderr"]
    for stream, sign in (("stdout", "a"), ("stderr", "b")):
        assert "".join(piece["text"] for piece in told if piece["type"] == stream) == sign * PIECES
    assert told[-1]["type"] == "error"
