"""What models are known to take and to give: a table, read off their names. What nobody knows is tried. Pure."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec
from msgspec import Meta

from .anthropic_models import abilities
from .wires import Wire

Count = Annotated[int, Meta(ge=1)]


class Abilities(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a model takes images, sound and PDF files, calls tools, keeps to a JSON schema by itself, thinks before it
    answers, makes embeddings; how many tokens a request may have and an answer has at most. Null: not known."""

    vision: bool | None = None
    audio: bool | None = None
    pdf: bool | None = None
    tools: bool | None = None
    structured_output: bool | None = None
    thinking: bool | None = None
    embeddings: bool | None = None
    context_tokens: Count | None = None
    max_output_tokens: Count | None = None

    def over(self, other: "Abilities") -> "Abilities":
        """What this one says, and `other` where it says nothing."""
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in self.__struct_fields__)
        return Abilities(**{name: theirs if mine is None else mine for name, mine, theirs in pairs})


_CHAT = {"tools": True, "embeddings": False}
_SEES = {**_CHAT, "vision": True, "audio": False}
_READS = {**_SEES, "pdf": True, "structured_output": True}
_EMBEDS = Abilities(vision=False, audio=False, pdf=False, tools=False, structured_output=False, thinking=False, embeddings=True)
_THINKS = Abilities(**_READS, thinking=True)
_HEARS = Abilities(**_CHAT, audio=True, vision=False, pdf=False, thinking=False)

# The first glob that fits the bare name counts.
_BY_WIRE: Mapping[Wire, tuple[tuple[str, Abilities], ...]] = {
    "openai": (
        ("text-embedding-*", _EMBEDS),
        ("gpt-audio*", _HEARS),
        ("gpt-*-audio*", _HEARS),
        ("gpt-5*-chat*", Abilities(**_READS, thinking=False, max_output_tokens=16_384)),
        ("gpt-[5-9]*", msgspec.structs.replace(_THINKS, max_output_tokens=128_000)),
        ("gpt-4.1*", Abilities(**_READS, thinking=False, max_output_tokens=32_768)),
        ("gpt-4o*", Abilities(**_READS, thinking=False, max_output_tokens=16_384)),
        ("gpt-4-turbo*", Abilities(**_SEES, pdf=False, structured_output=False, thinking=False, max_output_tokens=4096)),
        ("gpt-4-vision*", Abilities(vision=True, audio=False, thinking=False, embeddings=False)),
        ("gpt-4.5*", Abilities(**_READS, thinking=False, max_output_tokens=16_384)),
        ("gpt-4*", Abilities(**_CHAT, vision=False, audio=False, pdf=False, structured_output=False, thinking=False)),
        ("gpt-3.5*", Abilities(**_CHAT, vision=False, audio=False, pdf=False, structured_output=False, thinking=False)),
        ("o1-preview*", Abilities(tools=False, vision=False, audio=False, thinking=True, embeddings=False)),
        ("o1-mini*", Abilities(tools=False, vision=False, audio=False, thinking=True, embeddings=False)),
        ("o3-mini*", Abilities(**_CHAT, vision=False, audio=False, structured_output=True, thinking=True)),
        ("o[134]*", msgspec.structs.replace(_THINKS, max_output_tokens=100_000)),
        ("deepseek-reasoner*", Abilities(**_CHAT, vision=False, audio=False, pdf=False, structured_output=False, thinking=True)),
        ("deepseek-chat*", Abilities(**_CHAT, vision=False, audio=False, pdf=False, structured_output=False)),
    ),
    "gemini": (
        ("*embedding*", _EMBEDS),
        ("gemini-1.5*", Abilities(**{**_READS, "audio": True}, thinking=False, max_output_tokens=8192)),
        ("gemini-2.0*", Abilities(**{**_READS, "audio": True}, thinking=False, max_output_tokens=8192)),
        ("gemini-4*", Abilities(**{**_READS, "audio": True}, thinking=True, max_output_tokens=1_048_576)),
        ("gemini-*", Abilities(**{**_READS, "audio": True}, thinking=True, max_output_tokens=65_536)),
    ),
    "ollama": (("*embed*", _EMBEDS),),
    "offline": (("*", Abilities(**_CHAT, vision=False, audio=False, pdf=False, structured_output=True, thinking=False)),),
}


def known_abilities(wire: Wire, model: str) -> Abilities:
    """What the table says of a model that is asked in this wire format."""
    bare = model.rpartition("/")[2].lower()
    if "claude" in bare:
        return _of_claude(bare)
    table = _BY_WIRE.get("openai" if wire == "openai_responses" else wire, ())
    return next((known for glob, known in table if fnmatchcase(bare, glob)), Abilities())


def _of_claude(model: str) -> Abilities:
    known = abilities(model)
    return Abilities(
        **_SEES,
        pdf=True,
        structured_output=known.native_schema,
        thinking=known.thinking != "none",
        max_output_tokens=known.most,
    )
