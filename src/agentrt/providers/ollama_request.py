"""Ollama's own dialect, outward: what a model is asked, as the body of `/api/chat`. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from agentrt.events import CallerTool
from agentrt.messages import File, Image, Message, Text, Thinking, ToolCall, ToolResult
from agentrt.tools import ToolDef

from .call_arguments import as_object
from .client import ModelAsk
from .data_urls import inline
from .errors import ModelFailure
from .form_in_words import form_in_words
from .ollama_calls import decode_extras
from .result_text import result_text

_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repeat_penalty": "repeat_penalty",
    "num_ctx": "num_ctx",
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
}
_READABLE = ("application/json", "application/xml", "application/yaml", "application/x-yaml")

_Json = dict[str, Any]


def request_body(ask: ModelAsk, provider: str, num_ctx: int | None = None) -> bytes:
    """The JSON to post; always a stream. `num_ctx` is the context to reserve where the parameters name none.

    ModelFailure `invalid_request` for what this API has no place for: files that are not text, sound, images by address, a
    `tool_choice` that forces a call.
    """
    tools = _offered(ask, provider)
    form = _form(ask.parameters.get("response_format"))
    system = [text for text in ask.system if text]
    if form is not None and tools:
        # Held to a form, a model cannot call tools: it is asked for the form instead.
        system.append(form_in_words(ask.parameters["response_format"]))
        form = None
    body: _Json = {"model": ask.model, "stream": True}
    if tools:
        body["tools"] = tools
    if form is not None:
        body["format"] = form
    if options := _options(ask.parameters, num_ctx):
        body["options"] = options
    if (effort := ask.parameters.get("reasoning_effort")) is not None:
        body["think"] = _think(ask.model, effort)
    if (keep_alive := ask.parameters.get("keep_alive")) is not None:
        body["keep_alive"] = keep_alive
    # Last, so that the next turn begins with the very bytes of this one.
    body["messages"] = list(_Messages(provider).of(system, ask.messages))
    return msgspec.json.encode(body)


def _options(parameters: Mapping[str, Any], num_ctx: int | None) -> _Json:
    out: _Json = {} if num_ctx is None else {"num_ctx": num_ctx}
    out |= {theirs: value for ours, theirs in _OPTIONS.items() if (value := parameters.get(ours)) is not None}
    if stop := parameters.get("stop"):
        out["stop"] = [stop] if isinstance(stop, str) else list(stop)
    return out


def _think(model: str, effort: str) -> bool | str:
    if "gpt-oss" in model:  # thinks in degrees, and always
        return {"none": "low", "minimal": "low", "xhigh": "high", "max": "high"}.get(effort, effort)
    return effort != "none"


def _form(response_format: Any) -> Any:
    match response_format:
        case {"type": "json_schema", "json_schema": {"schema": Mapping() as schema}}:
            return schema
        case {"type": "json_schema" | "json_object"}:
            return "json"
        case _:
            return None


def _offered(ask: ModelAsk, provider: str) -> list[_Json]:
    """The tools as `tool_choice` leaves them. This API can narrow them down but force no call."""
    tools = [_tool(tool) for tool in ask.tools] + [_caller_tool(tool) for tool in ask.caller_tools]
    match ask.parameters.get("tool_choice") if tools else None:
        case "none":
            return []
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": list(wanted)}}:
            names = {tool["function"]["name"] for tool in wanted if tool.get("type") == "function"}
            return [tool for tool in tools if tool["function"]["name"] in names]
        case None | "auto":
            return tools
        case _:
            raise ModelFailure(
                f"{provider} cannot be made to call a tool: its API has no tool_choice other than auto and none",
                code="invalid_request",
            )


class _Messages:
    """Turns messages into theirs, knowing the calls that results answer."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._calls: dict[str, ToolCall] = {}

    def of(self, system: list[str], messages: tuple[Message, ...]) -> Iterator[_Json]:
        if system:
            # One message: the chat templates of many models take no second one.
            yield {"role": "system", "content": "\n\n".join(system)}
        shown: list[Image | File] = []
        for message in messages:
            if message.role == "tool":
                yield from self._results(message, shown)
                continue
            if shown:
                yield self._shown_by_tools(shown)
                shown = []
            yield self._said(message)
        if shown:
            yield self._shown_by_tools(shown)

    def _said(self, message: Message) -> _Json:
        match message.role:
            case "assistant":
                return self._by_model(message)
            case "user":
                shown = tuple(part for part in message.parts if isinstance(part, Text | Image | File))
                return {"role": "user", **self._content(shown)}
            case _:
                return {"role": "system", "content": message.text}

    def _by_model(self, message: Message) -> _Json:
        out: _Json = {"role": "assistant", "content": message.text}
        thoughts = [p.text for p in message.parts if isinstance(p, Thinking) and p.provider == self._provider]
        if thoughts and message.calls:
            out["thinking"] = "".join(thoughts)  # in the middle of its work a model wants to know why it called
        if message.calls:
            out["tool_calls"] = [self._call(call) for call in message.calls]
        return out

    def _call(self, call: ToolCall) -> _Json:
        self._calls[call.id] = call
        out: _Json = {"function": {"name": call.name, "arguments": as_object(call.arguments)}}
        return {"id": id_} | out if (id_ := self._their_id(call)) else out

    def _their_id(self, call: ToolCall) -> str:
        return decode_extras(call.opaque).id if call.opaque and call.provider == self._provider else ""

    def _results(self, message: Message, shown: list[Image | File]) -> Iterator[_Json]:
        """One message per result. What is not text goes to `shown`: templates look for images at a user's words only."""
        for part in message.parts:
            if isinstance(part, ToolResult):
                shown += [piece for piece in part.parts if not isinstance(piece, Text)]
                call = self._calls.get(part.call_id)
                out: _Json = {"role": "tool", "tool_name": call.name if call else part.call_id, "content": result_text(part)}
                if call and (id_ := self._their_id(call)):
                    out["tool_call_id"] = id_
                yield out

    def _shown_by_tools(self, shown: list[Image | File]) -> _Json:
        return {"role": "user", **self._content((Text("Returned by the tools:\n"), *shown))}

    def _content(self, parts: tuple[Text | Image | File, ...]) -> _Json:
        texts: list[str] = []
        images: list[str] = []
        for part in parts:
            match part:
                case Text():
                    texts.append(part.text)
                case Image():
                    images.append(self._image(part))
                case File():
                    self._file(part, texts, images)
        out: _Json = {"content": "".join(texts)}
        if images:
            out["images"] = images
        return out

    def _image(self, image: Image) -> str:
        if (held := inline(image.url, image.media_type)) is None:
            raise self._refusal("images by their address: send the image itself, as a data URL")
        return held.base64

    def _file(self, file: File, texts: list[str], images: list[str]) -> None:
        """A file of text is read out to the model; an image sent as a file is an image."""
        held = inline(file.data, file.media_type)
        if held is not None and held.media_type.startswith("image/"):
            images.append(held.base64)
        elif held is not None and (held.media_type.startswith("text/") or held.media_type in _READABLE):
            try:
                text = held.bytes.decode(errors="replace")
            except ValueError:
                raise self._refusal("a file that is not valid base64") from None
            texts.append(f"\n\n{file.name or 'File'}:\n{text}\n\n")
        else:
            raise self._refusal(f"files of the type {(held.media_type if held else '') or file.media_type or 'unknown'}")

    def _refusal(self, what: str) -> ModelFailure:
        return ModelFailure(f"{self._provider} cannot take {what}", code="invalid_request")


def _tool(tool: ToolDef) -> _Json:
    return {"type": "function", "function": {"name": tool.id, "description": tool.description, "parameters": tool.schema}}


def _caller_tool(tool: CallerTool) -> _Json:
    function: _Json = {"name": tool.name, "description": tool.description}
    function["parameters"] = tool.parameters if tool.parameters is not None else {"type": "object", "properties": {}}
    return {"type": "function", "function": function}
