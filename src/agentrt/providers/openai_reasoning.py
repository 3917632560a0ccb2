"""Reasoning in the OpenAI dialect: what a model says of it, and what its provider wants back of that. Pure.

OpenAI keeps reasoning to itself. Others send it in fields of their own, and some of them refuse to go on after a tool's
result unless the messages since the user spoke carry theirs as it came.
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from agentrt.messages import Message, Thinking

Returned = Literal["kept", "none", "demanded"]
"""What of it goes back: what the provider gave, in turns in which tools were called; nothing; or with every answer of the
model something, for providers that want it even where they gave none."""

_PLAIN = "reasoning_content"
_DETAILS = "reasoning_details"
_TEXTS = {"reasoning.text": "text", "reasoning.summary": "summary"}


class _Kept(msgspec.Struct, omit_defaults=True):
    """The name of the field in which the text of a `Thinking` came, and what came beside it."""

    field: str = ""
    details: list[dict[str, Any]] | None = None


_decode = msgspec.json.Decoder(_Kept).decode


class Reasoning:
    """Collects the pieces of one answer."""

    def __init__(self, provider: str) -> None:
        self._provider, self._field = provider, ""
        self._said: list[str] = []
        self._details: list[dict[str, Any]] = []

    @property
    def began(self) -> bool:
        return bool(self._said or self._details)

    def tell(self, text: str) -> None:
        """Text that came in no field of its own: it is shown, and goes back to nobody."""
        self._said.append(text)

    def add(self, content: str | None, plain: str | None, details: Any) -> str:
        """What these fields of one piece add to the text: `reasoning_content`, `reasoning`, `reasoning_details`."""
        text = content or plain or ""
        if isinstance(details, list):
            found = [detail for detail in details if isinstance(detail, dict)]
            text = text or "".join(map(_text_of, found))
            for detail in found:
                self._join(detail)
        if not self._field:
            self._field = _PLAIN if content is not None else "reasoning" if plain is not None else ""
        if text:
            self._said.append(text)
        return text

    def part(self, *, calls: bool) -> Thinking | None:
        """All of it. A message with `calls` says even that there was none, where its provider did."""
        text = "".join(self._said)
        if not (text or self._details or (calls and self._field)):
            return None
        if not (self._field or self._details):
            return Thinking(text, self._provider)
        kept = _Kept(self._field, self._details or None)
        return Thinking(text, self._provider, msgspec.Raw(msgspec.json.encode(kept)))

    def _join(self, detail: dict[str, Any]) -> None:
        """Texts come in pieces; anything else comes whole."""
        last = self._details[-1] if self._details else {}
        name = _TEXTS.get(str(detail.get("type")))
        if name is None or any(last.get(key) != detail.get(key) for key in ("type", "index")):
            self._details.append(dict(detail))
            return
        text = f"{last.get(name) or ''}{detail.get(name) or ''}"
        last.update({key: value for key, value in detail.items() if value is not None})
        last[name] = text


def fields_to_return(message: Message, provider: str, how: Returned, *, in_turn: bool) -> dict[str, Any]:
    """The fields of reasoning that `message`, of the model, carries back to `provider`. `in_turn`: tools were called since the
    user spoke."""
    if how == "none":
        return {}
    thoughts = [part for part in message.parts if isinstance(part, Thinking)]
    out: dict[str, Any] = {}
    for thought in thoughts:
        if thought.provider == provider and bytes(thought.opaque) and (in_turn or how == "demanded"):
            kept = _decode(thought.opaque)
            out |= {kept.field: thought.text} if kept.field else {}
            out |= {_DETAILS: kept.details} if kept.details else {}
    if how == "demanded" and _PLAIN not in out:
        # What the caller itself brought along names no provider.
        out[_PLAIN] = "".join(thought.text for thought in thoughts if thought.provider in ("", provider))
    return out


def carries_reasoning(messages: Iterable[Message], provider: str) -> bool:
    """Whether reasoning that `provider` gave is among the messages."""
    parts = (part for message in messages if message.role == "assistant" for part in message.parts)
    return any(isinstance(part, Thinking) and part.provider == provider and bytes(part.opaque) for part in parts)


def _text_of(detail: dict[str, Any]) -> str:
    name = _TEXTS.get(str(detail.get("type")))
    return str(detail.get(name) or "") if name else ""
