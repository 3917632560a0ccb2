"""What of a request a model is known not to take. Pure. What nobody knows is tried, and the provider has the last word."""

from collections.abc import Iterator
from typing import Literal

import msgspec
from msgspec.structs import replace

from agentrt.messages import File, Image, Message, Part, Text, ToolResult

from .abilities import Abilities
from .anthropic_models import abilities as of_claude
from .client import ModelAsk
from .wires import Wire

Kind = Literal["vision", "audio", "pdf", "text", "other"]

_WORDS = {"vision": "images", "audio": "sound", "pdf": "PDF files", "text": "text files", "other": "files of this type"}
# What the format itself has no place for, whatever the model.
_NEVER: dict[str, frozenset[Kind]] = {
    "anthropic": frozenset({"audio", "other"}),
    "ollama": frozenset({"audio", "pdf", "other"}),
    "openai_responses": frozenset({"audio"}),
}
_TEXTUAL = frozenset({"application/json", "application/xml", "application/yaml", "application/x-yaml"})


class Misfit(msgspec.Struct, frozen=True):
    """`what` the model does not take, in words. It stands in part `part` of message `message`, where it stands in one, else
    `param` names it. `by_tool`: a tool returned it, so that a note may stand for it."""

    what: str
    param: str = ""
    message: int = -1
    part: int = -1
    by_tool: bool = False


def misfits(ask: ModelAsk, wire: Wire, known: Abilities) -> Iterator[Misfit]:
    """Everything in `ask` that a model of these abilities is known not to take, in order."""
    if wire == "offline":  # it says itself what it cannot look at
        return
    for index, message in enumerate(ask.messages):
        for place, part in enumerate(message.parts):
            if isinstance(part, ToolResult):
                for inner, piece in enumerate(part.parts):
                    if (kind := kind_of(piece)) and _takes(kind, wire, known) is False:
                        yield Misfit(_words(kind, piece), message=index, part=inner, by_tool=True)
            elif (kind := kind_of(part)) and _takes(kind, wire, known) is False:
                yield Misfit(_words(kind, part), message=index, part=place)
    if stop := ask.parameters.get("stop"):
        if wire == "openai_responses":
            yield Misfit("stop texts", param="stop")
        if wire == "anthropic" and any(each.isspace() for each in ([stop] if isinstance(stop, str) else stop)):
            yield Misfit("stop texts of nothing but white space", param="stop")
    if not (ask.tools or ask.caller_tools):
        return
    if known.tools is False:
        yield Misfit("tools", param="tools")
    if forces_call(ask.parameters.get("tool_choice")) and not can_be_forced(wire, ask.model):
        yield Misfit("tool_choice other than 'auto' and 'none'", param="tool_choice")


def readable(messages: tuple[Message, ...], wire: Wire, known: Abilities) -> tuple[Message, ...]:
    """The messages with notes for what tools returned and the model cannot take."""

    def note(part: Part) -> Part:
        if not isinstance(part, ToolResult):
            return part
        pieces = tuple(_noted(piece, wire, known) for piece in part.parts)
        return part if pieces == part.parts else replace(part, parts=pieces)

    return tuple(
        replace(message, parts=tuple(map(note, message.parts))) if message.role == "tool" else message for message in messages
    )


def kind_of(part: Part) -> Kind | None:
    """What a model must take to read the part; None for what all of them read."""
    match part:
        case Image():
            return "vision"
        case File(media_type=given, data=data):
            media_type = (given or data[5:].partition(",")[0].partition(";")[0]).lower()
            return _kind_of_type(media_type) if media_type else None
        case _:
            return None


def _kind_of_type(media_type: str) -> Kind:
    if media_type.startswith("image/"):
        return "vision"
    if media_type.startswith("audio/"):
        return "audio"
    if media_type == "application/pdf":
        return "pdf"
    return "text" if media_type.startswith("text/") or media_type in _TEXTUAL else "other"


def _takes(kind: Kind, wire: Wire, known: Abilities) -> bool | None:
    if kind in _NEVER.get(wire, ()):
        return False
    return getattr(known, kind, None)


def _words(kind: Kind, part: Part) -> str:
    media_type = part.media_type if isinstance(part, File) else ""
    return f"files of the type {media_type}" if kind == "other" and media_type else _WORDS[kind]


def _noted(piece: Text | Image | File, wire: Wire, known: Abilities) -> Text | Image | File:
    kind = kind_of(piece)
    if kind is None or (kind != "other" and _takes(kind, wire, known) is not False):
        return piece  # a file of an odd type, which the caller did not ask for, must not end the run
    assert isinstance(piece, Image | File), "all models read text"
    return Text(f"[{piece.media_type or 'an image'}, which this model cannot be shown]")


def forces_call(choice: object) -> bool:
    """Whether this `tool_choice` makes the model call a tool."""
    match choice:
        case None | "auto" | "none":
            return False
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}:
            return False
        case _:
            return True


def can_be_forced(wire: Wire, model: str) -> bool:
    """Whether a model can be made to call a tool."""
    return wire != "ollama" and (wire != "anthropic" or of_claude(model).forced_tools)
