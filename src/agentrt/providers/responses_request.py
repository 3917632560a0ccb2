"""The Responses API, outward: what a model is asked, as the body of a request. Pure."""

import re
from typing import Any

import msgspec

from agentrt.messages import Message

from .client import ModelAsk
from .errors import ModelFailure
from .openai_request import reasons
from .responses_input import Conversation, Json

# Neither these nor those that `reasons` knows: of other names nobody knows.
_NEVER_REASONS = re.compile(r"(?:^|[/:])(?:gpt-[34]|chatgpt)")

# Said in other words here, or here alone.
_TRANSLATED = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "store",
        "tool_choice",
        "verbosity",
    }
)
# This API has no place for them; where it matters the caller was told.
_DROPPED = frozenset({"frequency_penalty", "logit_bias", "prediction", "presence_penalty", "seed"})


class Extent(msgspec.Struct, frozen=True):
    """How much of what not every account and model has is asked for: `summary` of the reasoning, the reasoning itself
    `encrypted`. `reasoning`: whether earlier reasoning goes back."""

    summary: bool = True
    encrypted: bool = True
    reasoning: bool = True


FULL = Extent()


def request_body(ask: ModelAsk, provider: str, extent: Extent = FULL) -> bytes:
    """The JSON to post to `/responses`; always a stream, and nothing is stored there.

    ModelFailure `invalid_request` for what this API does not take.
    """
    given = {name: value for name, value in ask.parameters.items() if value is not None}
    if given.pop("stop", None):
        why = f"{provider}: the Responses API has no 'stop'; leave it out, or use the provider's chat completions"
        raise ModelFailure(why, code="invalid_request", status=400)
    thinks = reasons(ask.model)
    body: Json = {"model": ask.model}
    if ask.system:
        body["instructions"] = "\n\n".join(ask.system)
    _offer(body, ask, given)
    body |= {name: value for name, value in given.items() if name not in _TRANSLATED | _DROPPED}
    if (limit := given.get("max_completion_tokens") or given.get("max_tokens")) is not None:
        body["max_output_tokens"] = limit
    if text := _text(given) | body.pop("text", {}):
        body["text"] = text
    _reason(body, given, thinks, extent)
    if ask.user:
        body["user"] = ask.user
    if extent.encrypted and not _NEVER_REASONS.search(ask.model):
        body["include"] = [*body.get("include", ()), "reasoning.encrypted_content"]
    body |= {"store": False, "stream": True}
    # Last, so that the next turn begins with the very bytes of this one.
    body["input"] = _input(ask.messages, provider, extent, "developer" if thinks else "system")
    return msgspec.json.encode(body)


def _input(messages: tuple[Message, ...], provider: str, extent: Extent, instructor: str) -> list[Any]:
    conversation = Conversation(provider, reasoning=extent.reasoning, instructor=instructor)
    for message in messages:
        conversation.add(message)
    return conversation.items


def _reason(body: Json, given: Json, thinks: bool, extent: Extent) -> None:
    """How long it thinks, and that it tells what it thought, where it does."""
    effort = given.get("reasoning_effort")
    reasoning: Json = {} if effort is None else {"effort": effort}
    if extent.summary and effort != "none" and (thinks or effort is not None):
        reasoning["summary"] = "auto"
    reasoning |= body.get("reasoning", {})
    if reasoning:
        body["reasoning"] = reasoning


def _text(given: Json) -> Json:
    """The form of the answer, and how long it is."""
    text: Json = {}
    match given.get("response_format"):
        case {"type": "json_schema", "json_schema": dict(wanted)}:
            text["format"] = {"type": "json_schema"} | {name: value for name, value in wanted.items() if value is not None}
        case {"type": "json_object"}:
            text["format"] = {"type": "json_object"}
        case _:
            pass
    if (verbosity := given.get("verbosity")) is not None:
        text["verbosity"] = verbosity
    return text


def _offer(body: Json, ask: ModelAsk, given: Json) -> None:
    """The tools, and which of them may or must be called; the choice goes only with tools."""
    tools = [_tool(tool.id, tool.description, tool.schema, strict=False) for tool in ask.tools]
    tools += [_tool(tool.name, tool.description, tool.parameters, strict=bool(tool.strict)) for tool in ask.caller_tools]
    if not tools:
        return
    body["tools"] = tools
    if (choice := given.get("tool_choice")) is not None:
        body["tool_choice"] = _choice(choice)
    if (parallel := given.get("parallel_tool_calls")) is not None:
        body["parallel_tool_calls"] = parallel


def _tool(name: str, description: str | None, schema: Json | None, *, strict: bool) -> Json:
    tool: Json = {"type": "function", "name": name}
    if description:
        tool["description"] = description
    # Unlike in chat completions a function is strict here unless it says otherwise.
    return tool | {"parameters": schema or {"type": "object", "properties": {}}, "strict": strict}


def _choice(wanted: Any) -> Any:
    match wanted:
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}:
            return {"type": "allowed_tools", "mode": mode, "tools": [_choice(tool) for tool in tools]}
        case {"type": str(kind), **rest} if isinstance(named := rest.get(kind), dict):
            return {"type": kind, **named}
        case _:
            return wanted
