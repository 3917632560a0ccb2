"""The bytes of a chat request, read and judged as far as that needs no knowledge of agents or providers. Pure."""

from operator import attrgetter
from typing import Any

import msgspec

from agentrt.events import CallerTool
from agentrt.kernel import Invalid
from agentrt.messages import Message

from . import body as b
from .decode import FIELDS, decode
from .functions import caller_tools, chosen_names
from .messages import neutral
from .parameters import normalised

_STRUCTURE = frozenset({"model", "messages", "stream", "stream_options", "tools", "metadata", "user"})
_PARAMETERS = tuple(sorted(FIELDS - _STRUCTURE))
_CACHE_HINTS = ("cache_control", "prompt_cache_breakpoint")
_values_of = attrgetter(*_PARAMETERS)
_NOTHING_SENT = (None,) * len(_PARAMETERS)


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks. `parameters` are what it sent, under one name each; `unknown` the fields nobody knows;
    `ignored` what was dropped already."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[CallerTool, ...] = ()
    stream: bool = False
    include_usage: bool = False
    parameters: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    user: str = ""
    ignored: tuple[str, ...] = ()


def read_request(raw: bytes) -> ChatRequest:
    """The request in these bytes. Invalid says in one sentence what is wrong, with OpenAI's `param` and `code`."""
    body, unknown = decode(raw)
    if not body.model:
        raise Invalid("You must provide a model.", code="missing_required_parameter", param="model")
    values = _values_of(body)
    parameters: dict[str, Any] = {}
    if values != _NOTHING_SENT:
        sent = {name: value for name, value in zip(_PARAMETERS, values, strict=True) if value is not None}
        parameters = normalised(sent)
        if (choice := parameters.get("tool_choice")) is not None:
            chosen_names(choice)
    if body.metadata:
        _check_metadata(body.metadata)
    return ChatRequest(
        model=body.model,
        messages=neutral(body.messages),
        tools=caller_tools(body.tools) if body.tools else (),
        stream=bool(body.stream),
        include_usage=_include_usage(body) if body.stream_options is not None else False,
        parameters=parameters,
        unknown=unknown,
        metadata=body.metadata or {},
        user=body.user or "",
        ignored=_cache_hints(body) if raw.find(b"cache_") >= 0 else (),
    )


def _include_usage(body: b.ChatBody) -> bool:
    if not body.stream:
        raise Invalid("'stream_options' is only allowed when 'stream' is true.", code="invalid_value", param="stream_options")
    return bool(body.stream_options and body.stream_options.include_usage)


def _check_metadata(metadata: dict[str, str]) -> None:
    if len(metadata) > 16:
        raise Invalid("'metadata' holds at most 16 pairs.", code="invalid_value", param="metadata")
    for key, value in metadata.items():
        if len(key) > 64 or len(value) > 512:
            raise Invalid(
                "Keys of 'metadata' have at most 64 characters, values at most 512.",
                code="string_above_max_length",
                param=f"metadata.{key[:64]}",
            )


def _cache_hints(body: b.ChatBody) -> tuple[str, ...]:
    """Hints beside the text, OpenAI's and those of other dialects; caching needs none here."""
    parts = [part for message in body.messages if isinstance(message.content, list) for part in message.content]
    return tuple(
        f"{place}.{hint}"
        for place, bearers in (("messages[]", (*body.messages, *parts)), ("tools[]", body.tools or ()))
        for hint in _CACHE_HINTS
        if any(getattr(bearer, hint, None) is not None for bearer in bearers)
    )
