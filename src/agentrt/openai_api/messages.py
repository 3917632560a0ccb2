"""Messages of the wire as neutral messages."""

import base64
import binascii
from collections.abc import Iterable

from agentrt.kernel import Invalid, is_id
from agentrt.messages import File, Image, Message, Part, Text, Thinking, ToolCall, ToolResult

from . import body as b

MAX_IMAGE_BYTES = 20 * 1024 * 1024
MAX_FILE_BYTES = 32 * 1024 * 1024
_IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_ALLOWED_PARTS: dict[str, tuple[type, ...]] = {
    "system": (b.TextPart,),
    "developer": (b.TextPart,),
    "user": (b.TextPart, b.ImagePart, b.FilePart, b.AudioPart),
    "assistant": (b.TextPart, b.RefusalPart),
    "tool": (b.TextPart, b.ImagePart, b.FilePart),
}


def neutral(messages: list[b.WireMessage]) -> tuple[Message, ...]:
    """The messages, in order. Invalid names the first one that cannot be used, and why."""
    out: list[Message] = []
    calls: set[str] = set()
    for index, message in enumerate(messages):
        role = message.role
        if role == "user" or role == "system" or role == "developer":
            _refuse_strays(message, index)
            out.append(Message(role, _content(message, index), message.name or ""))
        elif role == "assistant":
            out.append(_assistant(message, index))
            calls.update(call.id for call in message.tool_calls or ())
        else:
            out.append(_tool(message, index, calls))
    return tuple(out)


def leads_back(call_id: str) -> bool:
    """Whether this is the id of a call that one of our runs gave to a caller: `call_`, the run's body, digits."""
    return is_id("call", call_id[:37]) and call_id[37:].isdigit() and len(call_id) <= 48


def _content(message: b.WireMessage, index: int) -> tuple[Part, ...]:
    content = message.content
    if content.__class__ is str:
        return (Text(content),)  # type: ignore[arg-type]
    if content is None:
        place = f"messages[{index}].content"
        raise Invalid(f"Missing required parameter: '{place}'.", code="missing_required_parameter", param=place)
    if not content:
        place = f"messages[{index}].content"
        raise Invalid(f"Invalid '{place}': an empty list. Send a text, or at least one part.", code="empty_array", param=place)
    return tuple(_part(part, message.role, f"messages[{index}].content[{at}]") for at, part in enumerate(content))  # type: ignore[arg-type]


def _part(part: b.WirePart, role: str, place: str) -> Part:
    if not isinstance(part, _ALLOWED_PARTS[role]):
        kind = part.__struct_config__.tag
        raise Invalid(f"A part of type '{kind}' cannot stand in a {role} message.", code="invalid_value", param=f"{place}.type")
    match part:
        case b.TextPart(text=text) | b.RefusalPart(refusal=text):
            return Text(text)
        case b.ImagePart(image_url=source):
            return _image(source, f"{place}.image_url.url")
        case b.FilePart(file=source):
            return _file(source, f"{place}.file")
        case b.AudioPart(input_audio=source):
            _check_base64(source.data, MAX_FILE_BYTES, f"{place}.input_audio.data")
            media_type = f"audio/{source.format}"
            return File(data=f"data:{media_type};base64,{source.data}", media_type=media_type)


def _image(source: b.ImageSource, place: str) -> Image:
    url = source.url
    if url[:5].lower() == "data:":
        media_type = _check_data_url(url, MAX_IMAGE_BYTES, place)
        if media_type == "image/jpg":  # a name that many give it
            media_type = "image/jpeg"
            url = f"data:{media_type};base64,{url.partition(',')[2]}"
        if media_type not in _IMAGE_TYPES:
            message = f"Invalid image: '{media_type}' is not one of {', '.join(_IMAGE_TYPES)}."
            raise Invalid(message, code="invalid_image_format", param=place)
        return Image(url=url, media_type=media_type, detail=source.detail or "")
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in ("http", "https") or not rest.strip("/") or any(c.isspace() for c in url):
        raise Invalid("Invalid image address: expected an http, https or data URL.", code="invalid_image_url", param=place)
    return Image(url=url, detail=source.detail or "")


def _file(source: b.FileSource, place: str) -> File:
    if source.file_data and source.file_id:
        raise Invalid("Send either 'file_data' or 'file_id', not both.", code="invalid_value", param=place)
    if source.file_id:
        if not is_id("file", source.file_id):
            raise Invalid(f"'{source.file_id[:64]}' is not the id of a file.", code="invalid_value", param=f"{place}.file_id")
        return File(file=source.file_id, name=source.filename or "")
    if not source.file_data:
        place = f"{place}.file_data"
        raise Invalid(f"Missing required parameter: '{place}'.", code="missing_required_parameter", param=place)
    media_type = _check_data_url(source.file_data, MAX_FILE_BYTES, f"{place}.file_data")
    return File(data=source.file_data, name=source.filename or "", media_type=media_type)


def _check_data_url(url: str, limit: int, place: str) -> str:
    """The media type of a base64 data URL; Invalid where it is not one."""
    head, comma, data = url.partition(",")
    media_type, *options = head[5:].split(";")
    if head[:5].lower() != "data:" or not comma or not options or options[-1].strip().lower() != "base64":
        raise Invalid("Invalid data URL: expected 'data:TYPE;base64,DATA'.", code="invalid_data_url", param=place)
    _check_base64(data, limit, place)
    return media_type.strip().lower()


def _check_base64(data: str, limit: int, place: str) -> None:
    if len(data) > limit * 4 // 3 + 4:
        raise Invalid(f"Too large: at most {limit // (1024 * 1024)} MB.", code="too_large", param=place)
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Invalid("Invalid data: it is not base64.", code="invalid_base64", param=place) from exc
    if not decoded:
        raise Invalid("Invalid data: it is empty.", code="invalid_base64", param=place)


def _assistant(message: b.WireMessage, index: int) -> Message:
    if message.tool_call_id is not None:
        raise _stray("tool_call_id", message.role, index)
    if message.function_call is not None:
        place = f"messages[{index}].function_call"
        raise Invalid(f"'{place}' is not supported; send 'tool_calls'.", code="unsupported_parameter", param=place)
    parts: list[Part] = []
    reasoning = message.reasoning_content or (message.reasoning if isinstance(message.reasoning, str) else "")
    if reasoning:
        parts.append(Thinking(reasoning))
    content = message.content
    if content.__class__ is str:
        if content:
            parts.append(Text(content))  # type: ignore[arg-type]
    elif content:
        parts.extend(_content(message, index))
    elif message.refusal:
        parts.append(Text(message.refusal))
    parts.extend(_calls(message.tool_calls or (), index))
    return Message("assistant", tuple(parts), message.name or "")


def _calls(calls: Iterable[b.WireCall], index: int) -> Iterable[ToolCall]:
    seen: set[str] = set()
    for at, call in enumerate(calls):
        place = f"messages[{index}].tool_calls[{at}].id"
        if not call.id or call.id in seen:
            raise Invalid("Every tool call needs an id of its own.", code="invalid_value", param=place)
        seen.add(call.id)
        yield ToolCall(call.id, call.function.name, call.function.arguments)


def _tool(message: b.WireMessage, index: int, calls: set[str]) -> Message:
    if message.role == "function":
        raise Invalid(
            "The role 'function' is not supported; send 'tool' with 'tool_call_id'.",
            code="unsupported_value",
            param=f"messages[{index}].role",
        )
    place = f"messages[{index}].tool_call_id"
    call_id = message.tool_call_id
    if not call_id:
        raise Invalid(f"Missing required parameter: '{place}'.", code="missing_required_parameter", param=place)
    if message.tool_calls:
        raise _stray("tool_calls", message.role, index)
    if call_id not in calls and not leads_back(call_id):
        raise Invalid(
            f"'{place}' answers no tool call: no assistant message before it has a tool call with the id '{call_id[:64]}'.",
            code="invalid_value",
            param=place,
        )
    result = ToolResult(call_id, _content(message, index))  # type: ignore[arg-type]
    return Message("tool", (result,), message.name or "")


def _refuse_strays(message: b.WireMessage, index: int) -> None:
    if message.tool_calls:
        raise _stray("tool_calls", message.role, index)
    if message.tool_call_id is not None:
        raise _stray("tool_call_id", message.role, index)


def _stray(field: str, role: str, index: int) -> Invalid:
    place = f"messages[{index}].{field}"
    return Invalid(f"'{field}' cannot stand in a {role} message.", code="invalid_value", param=place)
