"""Bytes to a typed body, and a sentence for everything that can be wrong with them."""

import codecs
import difflib
import json
import re
from typing import Any, get_args

import msgspec

from agentrt.kernel import Invalid

from . import body as b

_decoder = msgspec.json.Decoder(b.ChatBody)

FIELDS = frozenset(f.encode_name for f in msgspec.structs.fields(b.ChatBody))
_NESTED = frozenset(
    f.encode_name
    for struct in (b.WireMessage, b.WireTool, b.FunctionDef, b.WireCall, b.CalledFunction, b.StreamOptions, *get_args(b.WirePart))
    for f in msgspec.structs.fields(struct)
)
_ALLOWED = (
    (re.compile(r"messages\[\d+\]\.role"), get_args(b.WireRole)),
    (re.compile(r"messages\[\d+\]\.content\[\d+\]\.type"), tuple(part.__struct_config__.tag for part in get_args(b.WirePart))),
    (re.compile(r".*\.type"), ("function",)),
    (re.compile(r".*\.detail"), ("auto", "low", "high", "original")),
    (re.compile(r".*\.format"), ("wav", "mp3")),
    (re.compile(r"reasoning_effort"), ("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    (re.compile(r"verbosity"), ("low", "medium", "high")),
    (re.compile(r"modalities\[.*"), ("text", "audio")),
)
_PLACE = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<path>.*)`)?", re.DOTALL)
_BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_QUOTED = re.compile(r"`([^`]*)`|'([^']*)'")


def decode(raw: bytes) -> tuple[b.ChatBody, dict[str, Any]]:
    """The body, and the top-level fields that it does not know. Invalid says what is wrong, `param` where."""
    try:
        return _decoder.decode(raw), {}
    except msgspec.ValidationError:
        return _decode_slowly(raw)
    except UnicodeDecodeError as exc:
        raise Invalid("The request body is not valid UTF-8.", code="invalid_json") from exc
    except (msgspec.DecodeError, RecursionError) as exc:
        raise malformed(raw, exc) from exc


def suggestion(name: str, known: frozenset[str]) -> str:
    """` Did you mean 'x'?`, or nothing."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.7)
    return f" Did you mean '{near[0]}'?" if near else ""


def _decode_slowly(raw: bytes) -> tuple[b.ChatBody, dict[str, Any]]:
    """Something does not fit: set unknown top-level fields aside, then let the rest speak for itself."""
    try:
        data = msgspec.json.decode(raw)
    except UnicodeDecodeError as exc:
        raise Invalid("The request body is not valid UTF-8.", code="invalid_json") from exc
    except (msgspec.DecodeError, RecursionError) as exc:
        raise malformed(raw, exc) from exc
    if not isinstance(data, dict):
        raise Invalid("The request body must be a JSON object.", code="invalid_type")
    unknown = {name: value for name, value in data.items() if name not in FIELDS}
    try:
        return msgspec.convert({name: value for name, value in data.items() if name in FIELDS}, b.ChatBody), unknown
    except msgspec.ValidationError as exc:
        raise explained(str(exc), unknown) from exc


def malformed(raw: bytes, exc: Exception) -> Invalid:
    """What is wrong with bytes that are no JSON."""
    if not raw.strip():
        return Invalid("The request body is empty; send a JSON object.", code="invalid_json")
    if isinstance(exc, RecursionError):
        return Invalid("The request body is nested too deeply.", code="invalid_json")
    if raw.startswith(_BYTE_ORDER_MARKS):
        why = "it begins with a byte order mark; send UTF-8 without one"
        return Invalid(f"The request body is not valid JSON: {why}.", code="invalid_json")
    try:
        json.loads(raw.decode())
    except json.JSONDecodeError as error:
        return Invalid(f"The request body is not valid JSON: line {error.lineno}, column {error.colno}.", code="invalid_json")
    except (UnicodeDecodeError, RecursionError):
        return Invalid(f"The request body is not valid JSON: {exc}.", code="invalid_json")
    return Invalid("The request body is not valid JSON: it holds NaN, Infinity or half a surrogate pair.", code="invalid_json")


def explained(text: str, unknown: dict[str, Any]) -> Invalid:
    """OpenAI's kind of error for a sentence of msgspec such as ``Expected `str`, got `int` - at `$.model` ``."""
    match = _PLACE.fullmatch(text)
    what, path = (match["what"], match["path"] or "") if match else (text, "")
    quoted = [one or two for one, two in _QUOTED.findall(what)]
    if what.startswith("Object missing"):
        place = f"{path}.{quoted[0]}" if path else quoted[0]
        meant = next((name for name in unknown if difflib.get_close_matches(quoted[0], [name], cutoff=0.7)), None)
        hint = f" There is '{meant}': did you mean '{quoted[0]}'?" if meant else ""
        return Invalid(f"Missing required parameter: '{place}'.{hint}", code="missing_required_parameter", param=place)
    if what.startswith("Object contains unknown"):
        place = f"{path}.{quoted[0]}" if path else quoted[0]
        return Invalid(f"Unknown parameter: '{place}'.{suggestion(quoted[0], _NESTED)}", code="unknown_parameter", param=place)
    if path == "messages" and "length" in what:
        return Invalid("'messages' must hold at least one message.", code="empty_array", param="messages")
    if what.startswith("Invalid"):
        allowed = next((values for pattern, values in _ALLOWED if pattern.fullmatch(path)), ())
        supported = f" Supported values are: {', '.join(repr(v) for v in allowed)}." if allowed else ""
        return Invalid(f"Invalid value for '{path}': {what.rpartition(' ')[2]}.{supported}", code="invalid_value", param=path)
    code = "invalid_type" if ", got" in what else "invalid_value"
    expected = what.replace("`", "").replace("Expected", "expected", 1)
    return Invalid(f"Invalid value for '{path}': {expected}.", code=code, param=path or None)
