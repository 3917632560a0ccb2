"""The content blocks of one answer of the Messages API, as they grow, and the parts that they become. Pure."""

from collections.abc import Iterator
from typing import Any

import msgspec

from agentrt.messages import Part, Text, Thinking, ToolCall

_OWN_FIELDS = ("type", "name", "input")


class Block:
    """One block. `text` are the pieces of its text, its thinking or its input; `place` is a tool call's among the calls."""

    __slots__ = ("citations", "kind", "name", "our_id", "place", "signature", "start", "text")

    def __init__(self, kind: str, start: dict[str, Any]) -> None:
        self.kind, self.start = kind, start
        self.text: list[str] = []
        self.signature = ""
        self.citations: list[dict[str, Any]] = []
        self.place: int | None = None
        self.our_id = self.name = ""

    def arguments(self) -> str:
        """A call's input as it was written; what came with the block's beginning where nothing followed."""
        return "".join(self.text) or msgspec.json.encode(self.start.get("input") or {}).decode()


class Blocks:
    """All blocks in order. Tool calls get our ids: `prefix` and three digits from `first`."""

    def __init__(self, provider: str, prefix: str, first: int) -> None:
        self._provider, self._prefix, self._first = provider, prefix, first
        self._all: list[Block] = []
        self._by_index: dict[int, Block] = {}
        self._calls = 0

    def next_stream(self) -> None:
        """Blocks are numbered anew."""
        self._by_index = {}

    def at(self, index: int) -> Block | None:
        return self._by_index.get(index)

    def begin(self, index: int, start: dict[str, Any]) -> Block:
        """A block with what it holds at its beginning: nothing in a stream, everything in a whole answer."""
        block = Block(str(start.get("type")), start)
        match block.kind:
            case "text":
                block.text += [start["text"]] if start.get("text") else []
                block.citations += start.get("citations") or ()
            case "thinking":
                block.text += [start["thinking"]] if start.get("thinking") else []
                block.signature = start.get("signature") or ""
            case "tool_use":
                block.place, block.name = self._calls, str(start.get("name") or "")
                block.our_id = f"{self._prefix}{self._first + self._calls:03d}"
                self._calls += 1
        self._all.append(block)
        self._by_index[index] = block
        return block

    def parts(self) -> tuple[Part, ...]:
        return tuple(part for block in self._all for part in self._parts(block))

    def _parts(self, block: Block) -> Iterator[Part]:
        said = "".join(block.text)
        match block.kind:
            case "text":
                if said:
                    yield Text(said)
                if said and block.citations:
                    # The text again, with its citations: it goes back in the place of the one before it.
                    yield self._kept({"type": "text", "text": said, "citations": block.citations})
            case "thinking":
                yield from self._thinking(block, said)
            case "tool_use":
                rest = {name: value for name, value in block.start.items() if name not in _OWN_FIELDS}
                yield ToolCall(block.our_id, block.name, block.arguments(), _raw(rest), self._provider)
            case _:
                yield self._kept(block.start | _input_of(said))

    def _thinking(self, block: Block, said: str) -> Iterator[Part]:
        """Unsigned thinking, as it is left by a limit that cuts it off, is shown but never sent back."""
        if block.signature:
            yield self._kept(block.start | {"type": "thinking", "thinking": said, "signature": block.signature}, said)
        elif said:
            yield Thinking(said, self._provider)

    def _kept(self, block: dict[str, Any], shown: str = "") -> Thinking:
        return Thinking(shown, self._provider, _raw({"type": block["type"], **block}))


def _input_of(said: str) -> dict[str, Any]:
    """The input of a server's tool, which streams like that of ours."""
    if not said:
        return {}
    try:
        return {"input": msgspec.json.decode(said)}
    except msgspec.DecodeError:
        return {"input": {}}


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
