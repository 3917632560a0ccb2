from typing import Any

import msgspec

from agentrt.messages import ToolCall


def parse_arguments(call: ToolCall) -> dict[str, Any]:
    """The arguments as an object; ValueError, a sentence for the model, where they are not one. Empty means none."""
    if not call.arguments.strip():
        return {}
    try:
        value = msgspec.json.decode(call.arguments)
    except msgspec.DecodeError as exc:
        raise ValueError(f"the arguments of {call.name} are not valid JSON: {exc}") from None
    if not isinstance(value, dict):
        raise ValueError(f"the arguments of {call.name} must be a JSON object, not {type(value).__name__}")
    return value
