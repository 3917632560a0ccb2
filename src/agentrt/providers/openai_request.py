"""The OpenAI dialect, outward: what a model is asked, as the body of a chat completion request. Pure."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from agentrt.events import CallerTool
from agentrt.messages import File, Image, Message, Text, ToolCall, ToolResult
from agentrt.tools import ToolDef

from .client import ModelAsk
from .openai_calls import EXTRA
from .openai_reasoning import Returned, fields_to_return
from .result_text import result_text
from .wires import WIRES

_REASONS = re.compile(r"(?:^|[/:])(?:o[1-9]|gpt-[5-9]|codex)(?![a-z0-9])")

# Without tools the API refuses them.
_WITH_TOOLS_ONLY = ("tool_choice", "parallel_tool_calls")

_Json = dict[str, Any]


def request_body(ask: ModelAsk, provider: str = "", reasoning: Returned = "none") -> bytes:
    """The JSON to post to `/chat/completions`; always a stream, always with its usage. What of earlier `reasoning` goes back,
    goes back to the `provider` that gave it."""
    thinks = reasons(ask.model)
    body: _Json = {"model": ask.model}
    tools = [_tool(tool) for tool in ask.tools] + [_caller_tool(tool) for tool in ask.caller_tools]
    body |= {name: value for name, value in ask.parameters.items() if value is not None}
    if tools:
        body["tools"] = tools
    else:
        for name in _WITH_TOOLS_ONLY:
            body.pop(name, None)
    _name_the_limit(body, thinks)
    if ask.user:
        body["user"] = ask.user
    body["stream"] = True
    body["stream_options"] = {"include_usage": True}
    # Last, so that the next turn begins with the very bytes of this one.
    body["messages"] = list(_messages(ask, thinks, provider, reasoning))
    return msgspec.json.encode(body)


@lru_cache(maxsize=256)
def reasons(model: str) -> bool:
    """Whether this is one of those that count their reasoning in the limit, refuse `max_tokens`, and know the role
    `developer`."""
    return _REASONS.search(model) is not None


def with_cache_key(ask: ModelAsk, url: str) -> ModelAsk:
    """Names what OpenAI keeps in its cache, so that it sends requests that begin alike to one place; others know no such name."""
    if not ask.cache_key or url != WIRES["openai"].url or ask.parameters.get("prompt_cache_key") is not None:
        return ask
    return msgspec.structs.replace(ask, parameters={**ask.parameters, "prompt_cache_key": ask.cache_key})


def _name_the_limit(body: _Json, thinks: bool) -> None:
    limit = body.pop("max_tokens", None)
    if (newer := body.pop("max_completion_tokens", None)) is not None:
        limit = newer
    if limit is not None:
        body["max_completion_tokens" if thinks else "max_tokens"] = limit


def _messages(ask: ModelAsk, thinks: bool, provider: str, reasoning: Returned) -> Iterator[_Json]:
    if ask.system:
        # One message: the chat templates of many local models take no second one.
        yield {"role": "developer" if thinks else "system", "content": "\n\n".join(ask.system)}
    shown: list[Image | File] = []
    in_turn = False
    for message in ask.messages:
        if message.role == "tool":
            yield from _results(message, shown)
            continue
        if shown:
            yield _shown_by_tools(shown)
            shown = []
        if message.role == "assistant":
            in_turn = in_turn or bool(message.calls)
            yield _said(message, provider) | fields_to_return(message, provider, reasoning, in_turn=in_turn)
        else:
            in_turn = in_turn and message.role != "user"
            yield _given(message, thinks)
    if shown:
        yield _shown_by_tools(shown)


def _given(message: Message, thinks: bool) -> _Json:
    if message.role == "user":
        return _named(message, "user") | {"content": _content(message)}
    return _named(message, "developer" if thinks else "system") | {"content": message.text}


def _said(message: Message, provider: str) -> _Json:
    calls = message.calls
    out = _named(message, "assistant") | {"content": message.text or (None if calls else "")}
    if calls:
        out["tool_calls"] = [_call(call, provider) for call in calls]
    return out


def _named(message: Message, role: str) -> _Json:
    return {"role": role, "name": message.name} if message.name else {"role": role}


def _call(call: ToolCall, provider: str) -> _Json:
    out: _Json = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
    if call.provider == provider and bytes(call.opaque):
        kept: _Json = msgspec.json.decode(call.opaque)
        out |= {EXTRA: kept[EXTRA]} if EXTRA in kept else {}  # a call by the Responses API has more, which is none of this one
    return out


def _content(message: Message) -> str | list[_Json]:
    if all(isinstance(part, Text) for part in message.parts):
        return message.text
    return [_part(part) for part in message.parts if isinstance(part, Text | Image | File)]


def _part(part: Text | Image | File) -> _Json:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            image: _Json = {"url": part.url}
            if part.detail:
                image["detail"] = part.detail
            return {"type": "image_url", "image_url": image}
        case File():
            return _sound(part) or {"type": "file", "file": {"filename": part.name or "file", "file_data": part.data}}


def _sound(file: File) -> _Json | None:
    head, _, data = file.data.partition(";base64,")
    kind = (file.media_type or head.removeprefix("data:")).lower()
    if not kind.startswith("audio/"):
        return None
    form = "mp3" if kind in ("audio/mpeg", "audio/mp3") else kind.removeprefix("audio/").removeprefix("x-")
    return {"type": "input_audio", "input_audio": {"data": data, "format": form}}


def _results(message: Message, shown: list[Image | File]) -> Iterator[_Json]:
    """One message per result. What is not text goes to `shown`: this API takes it from a user only."""
    for part in message.parts:
        if isinstance(part, ToolResult):
            shown += [piece for piece in part.parts if not isinstance(piece, Text)]
            yield {"role": "tool", "tool_call_id": part.call_id, "content": result_text(part)}


def _shown_by_tools(shown: Sequence[Image | File]) -> _Json:
    return {"role": "user", "content": [{"type": "text", "text": "Returned by the tools:"}, *map(_part, shown)]}


def _tool(tool: ToolDef) -> _Json:
    return {"type": "function", "function": {"name": tool.id, "description": tool.description, "parameters": tool.schema}}


def _caller_tool(tool: CallerTool) -> _Json:
    function: _Json = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}
