import pytest

from agentrt.cli.sse import ServerEvent, read_events

STREAM = (
    "\ufeff: a comment\nretry: 2000\n\n"
    'id: 1\nevent: tool_started\ndata: {"a":\ndata: 1}\n\n'
    "id: 2.5\ndata:no space, line\u2028separator ü\n\n"
    "event: only a name\n\n"
    "data: last id stays\nid: bad\0id\nunknown: x\n\n"
    "data: cut off"
)
EVENTS = [
    ServerEvent("tool_started", '{"a":\n1}', "1", 2000),
    ServerEvent("message", "no space, line\u2028separator ü", "2.5", 2000),
    ServerEvent("message", "last id stays", "2.5", 2000),
]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_events_are_read_whatever_the_line_ends_and_however_the_bytes_are_cut(line_end, size):
    raw = STREAM.replace("\n", line_end).encode()
    assert list(read_events(raw[i : i + size] for i in range(0, len(raw), size))) == EVENTS
