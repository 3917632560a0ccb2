"""The Gemini dialect, outward: what a model is asked, as the body of `streamGenerateContent`. Pure."""

import mimetypes
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from agentrt.events import CallerTool
from agentrt.messages import File, Image, Message, Text, Thinking, ToolCall, ToolResult
from agentrt.tools import ToolDef

from .call_arguments import as_object
from .client import ModelAsk
from .data_urls import inline
from .form_in_words import form_in_words
from .gemini_config import answers_in_form_with_tools, generation, generation_config, tool_config
from .gemini_parts import CallExtras, decode_extras, decode_part

# Gemini 3 refuses a call of its current turn without a signature; this is the one that its documentation gives for calls
# that another model made.
_FOREIGN_SIGNATURE = "skip_thought_signature_validator"
# What a function may answer with inside its response, from the third generation on.
_IN_RESPONSES = frozenset({"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"})

_Json = dict[str, Any]


def request_body(ask: ModelAsk, provider: str, continuation: str = "") -> bytes:
    """The JSON to post. `provider` is whose kept parts go back; those of another are left out. `continuation`: the token of
    an answer to the same request that is to be gone on with."""
    tools = [_tool(tool) for tool in ask.tools] + [_caller_tool(tool) for tool in ask.caller_tools]
    in_form = not tools or answers_in_form_with_tools(ask.model)
    leading = _leading(ask)
    system = [text for text in (*ask.system, *(message.text for message in ask.messages[:leading])) if text]
    if not in_form and (words := form_in_words(ask.parameters.get("response_format"))):
        system.append(words)
    body: _Json = {}
    if system:
        body["systemInstruction"] = {"parts": [{"text": text} for text in system]}
    if tools:
        body["tools"] = [{"functionDeclarations": tools}]
        if config := tool_config(ask.parameters.get("tool_choice")):
            body["toolConfig"] = config
    if config := generation_config(ask.model, ask.parameters, in_form=in_form):
        body["generationConfig"] = config
    if continuation:
        body["continuationToken"] = continuation
    # Last, so that the next turn begins with the very bytes of this one.
    body["contents"] = list(_Contents(ask.model, provider).of(ask.messages[leading:]))
    return msgspec.json.encode(body)


def _leading(ask: ModelAsk) -> int:
    """How many messages of the conversation are instructions that stand before it."""
    return next((i for i, m in enumerate(ask.messages) if m.role not in ("system", "developer")), len(ask.messages))


class _Contents:
    """Turns messages into `contents`, knowing the calls that their results answer."""

    def __init__(self, model: str, provider: str) -> None:
        self._provider = provider
        self._third = generation(model) >= 3
        self._calls: dict[str, ToolCall] = {}

    def of(self, messages: tuple[Message, ...]) -> Iterator[_Json]:
        """One content per turn: neighbours of one kind are merged, results apart from what a person says after them."""
        kind, parts = "", []
        for message in messages:
            now = {"assistant": "model", "tool": "results"}.get(message.role, "user")
            if now != kind and parts:
                yield {"role": "model" if kind == "model" else "user", "parts": parts}
                parts = []
            kind = now
            parts += self._parts(message)
        if parts:
            yield {"role": "model" if kind == "model" else "user", "parts": parts}

    def _parts(self, message: Message) -> list[Any]:
        match message.role:
            case "assistant":
                return self._model(message)
            case "tool":
                return self._results(message)
            case _:
                # Instructions in mid-conversation have no role of their own here: they keep their place.
                shown = (part for part in message.parts if isinstance(part, Text | Image | File))
                return [_part(part) for part in shown if not isinstance(part, Text) or part.text]

    def _model(self, message: Message) -> list[Any]:
        out: list[Any] = []
        before: Text | Image | None = None
        signed = not self._third
        for part in message.parts:
            shown = part if isinstance(part, Text | Image) else None
            match part:
                case Text(text) if text:
                    out.append({"text": text})
                case Image():
                    out.append(_part(part))
                case Thinking() if part.opaque and part.provider == self._provider:
                    if out and _stands_for(part, before):
                        out.pop()
                    out.append(part.opaque)
                case ToolCall():
                    out.append(self._call(part, signed))
                    signed = True  # the first of a step carries the signature
            before = shown
        return out

    def _call(self, call: ToolCall, signed: bool) -> _Json:
        self._calls[call.id] = call
        extras = self._extras(call)
        out: _Json = {"functionCall": {"name": call.name, "args": as_object(call.arguments)}}
        if extras.id:
            out["functionCall"]["id"] = extras.id
        if signature := extras.thought_signature or ("" if signed else _FOREIGN_SIGNATURE):
            out["thoughtSignature"] = signature
        return out

    def _results(self, message: Message) -> list[Any]:
        results, beside = [], []
        for part in message.parts:
            if isinstance(part, ToolResult):
                response, rest = self._result(part)
                results.append({"functionResponse": response})
                beside += rest
        return results + beside

    def _result(self, result: ToolResult) -> tuple[_Json, list[_Json]]:
        """The response, and the attachments that have no place in it."""
        call = self._calls.get(result.call_id)
        out: _Json = {"name": call.name if call else result.call_id, "response": _response(result)}
        if call and (id_ := self._extras(call).id):
            out["id"] = id_
        inside, beside = [], []
        for piece in result.parts:
            if not isinstance(piece, Text):
                part = _part(piece)
                fits = self._third and part.get("inlineData", {}).get("mimeType") in _IN_RESPONSES
                (inside if fits else beside).append(part)
        if inside:
            out["parts"] = inside
        return out, beside

    def _extras(self, call: ToolCall) -> CallExtras:
        return decode_extras(call.opaque) if call.opaque and call.provider == self._provider else CallExtras()


def _stands_for(kept: Thinking, before: Text | Image | None) -> bool:
    """Whether `before` only shows what the kept part holds."""
    part = decode_part(kept.opaque)
    match before:
        case Text(text):
            return bool(text) and part.shown == text
        case Image():
            return part.inline_data is not None
        case None:
            return False


def _part(part: Text | Image | File) -> _Json:
    match part:
        case Text():
            return {"text": part.text}
        case Image():
            return _bytes(part.url, part.media_type)
        case File():
            return _bytes(part.data, part.media_type, part.name)


def _bytes(url: str, media_type: str, name: str = "") -> _Json:
    if (held := inline(url, media_type)) is not None:
        return {"inlineData": {"mimeType": held.media_type, "data": held.base64}}
    kind = media_type or mimetypes.guess_type(name or url.partition("?")[0])[0]
    return {"fileData": ({"mimeType": kind} if kind else {}) | {"fileUri": url}}


def _response(result: ToolResult) -> Mapping[str, Any]:
    text: Any = result.text
    if not text and result.structured is not None:
        text = result.structured
    if not text and result.parts:
        text = "(see the attachment)"
    return {"error" if result.is_error else "output": text}


def _tool(tool: ToolDef) -> _Json:
    return {"name": tool.id, "description": tool.description, "parametersJsonSchema": tool.schema}


def _caller_tool(tool: CallerTool) -> _Json:
    out: _Json = {"name": tool.name}
    if tool.description:
        out["description"] = tool.description
    if tool.parameters is not None:
        out["parametersJsonSchema"] = tool.parameters
    return out
