"""The items of one answer of the Responses API, as they grow, and the parts that they become. Pure."""

from collections.abc import Iterator
from typing import Any

import msgspec

from agentrt.messages import Part, Text, Thinking, ToolCall

_Json = dict[str, Any]

_OF_A_CALL = ("type", "name", "arguments")


class Item:
    """One item. `said` are the pieces of its text, its reasoning or its arguments; `final` is it as it came in the end;
    `place` is a call's among the calls."""

    __slots__ = ("final", "kind", "name", "our_id", "place", "said", "section", "start")

    def __init__(self, kind: str, start: _Json) -> None:
        self.kind, self.start = kind, start
        self.final: _Json | None = None
        self.said: list[str] = []
        self.section: int | None = None  # the part of a summary that is being told
        self.place: int | None = None
        self.our_id = self.name = ""

    def rest(self) -> str:
        """What the final item says beyond what was streamed; empty where both say the same, or different things."""
        streamed, whole = "".join(self.said), _whole(self.kind, self.final or {})
        return whole[len(streamed) :] if whole.startswith(streamed) else ""


class Items:
    """All items in order. Calls get our ids: `prefix` and three digits from `first`."""

    def __init__(self, provider: str, prefix: str, first: int) -> None:
        self._provider, self._prefix, self._first = provider, prefix, first
        self._all: list[Item] = []
        self._by_index: dict[int, Item] = {}
        self._calls = 0

    def at(self, index: int) -> Item | None:
        return self._by_index.get(index)

    def begin(self, index: int, start: _Json) -> Item:
        item = Item(str(start.get("type")), start)
        if item.kind == "function_call":
            item.place, item.name = self._calls, str(start.get("name") or "")
            item.our_id = f"{self._prefix}{self._first + self._calls:03d}"
            self._calls += 1
        self._all.append(item)
        self._by_index[index] = item
        return item

    def parts(self) -> tuple[Part, ...]:
        return tuple(part for item in self._all for part in self._parts(item))

    def _parts(self, item: Item) -> Iterator[Part]:
        said = "".join(item.said)
        match item.kind:
            case "message":
                if said:
                    yield Text(said)
                if item.final is not None:
                    # What is said of the text: it goes back around it.
                    yield self._kept(_around(said, item.final))
            case "reasoning":
                yield from self._reasoning(item, said)
            case "function_call":
                own = {name: value for name, value in (item.final or item.start).items() if name not in _OF_A_CALL}
                yield ToolCall(item.our_id, item.name, said or "{}", _raw(own), self._provider)
            case _:
                if item.final is not None:
                    yield self._kept(item.final)

    def _reasoning(self, item: Item, said: str) -> Iterator[Part]:
        """Reasoning that is neither encrypted nor in plain words is an id of what nobody stored: it cannot go back."""
        final = item.final
        if final is not None and (final.get("encrypted_content") or final.get("content")):
            yield self._kept(final, said)
        elif said:
            yield Thinking(said, self._provider)

    def _kept(self, item: _Json, shown: str = "") -> Thinking:
        return Thinking(shown, self._provider, _raw(item))


def refuses(item: _Json) -> bool:
    """Whether an item is a message with a refusal."""
    content = item.get("content") if item.get("type") == "message" else None
    return isinstance(content, list) and any(isinstance(part, dict) and part.get("type") == "refusal" for part in content)


def _whole(kind: str, item: _Json) -> str:
    match kind:
        case "message":
            return "".join(str(part.get("text") or part.get("refusal") or "") for part in item.get("content") or ())
        case "function_call":
            return str(item.get("arguments") or "")
        case "reasoning":
            told = item.get("summary") or item.get("content") or ()
            return "\n\n".join(str(part.get("text") or "") for part in told)
        case _:
            return ""


def _around(said: str, message: _Json) -> _Json:
    """A message without its content where that is nothing but `said`."""
    match message.get("content"):
        case [{"type": "output_text", "text": text, **rest}] if text == said and not any(rest.values()):
            return {name: value for name, value in message.items() if name != "content"}
        case _:
            return message


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
