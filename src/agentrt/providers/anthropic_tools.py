"""The Messages API, outward: tools, and which of them may or must be called. Pure."""

from typing import Any

from .anthropic_content import Json
from .anthropic_models import Abilities
from .anthropic_schema import closed, tool_input
from .client import ModelAsk
from .errors import ModelFailure


def offer(body: Json, ask: ModelAsk, known: Abilities, provider: str) -> None:
    """Put the tools of `ask` and its choice among them into `body`, which has its messages already.

    ModelFailure `invalid_request` where a call is to be forced on a model that takes no force.
    """
    tools = [_tool(tool.id, tool.description, tool.schema) for tool in ask.tools]
    tools += [_tool(tool.name, tool.description, tool.parameters, bool(tool.strict), known) for tool in ask.caller_tools]
    choice, names = _choice(ask.parameters.get("tool_choice"))
    if names:
        tools = [tool for tool in tools if tool["name"] in names]
    if not tools and (called := _calls_in(body["messages"])):
        # A conversation with calls in it is refused unless the tools are named.
        tools = [_tool(name, "", None) for name in called]
        choice = Json(type="none")
    if not tools:
        return
    body["tools"] = tools
    if choice["type"] in ("any", "tool") and not known.forced_tools:
        raise ModelFailure(
            f"{provider}: {ask.model} cannot be made to call a tool; 'tool_choice' can be 'auto' or 'none'",
            code="invalid_request",
            status=400,
        )
    if ask.parameters.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    if choice != {"type": "auto"}:
        body["tool_choice"] = choice


def _choice(wanted: Any) -> tuple[Json, set[str]]:
    """Anthropic's word for OpenAI's choice, and the only tools allowed by it, where it names some."""
    match wanted:
        case "none":
            return {"type": "none"}, set()
        case "required":
            return {"type": "any"}, set()
        case {"type": "function", "function": {"name": str(name)}}:
            return {"type": "tool", "name": name}, set()
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}:
            names = {name for tool in tools if (name := tool.get("function", tool).get("name"))}
            return {"type": "any" if mode == "required" else "auto"}, names
        case _:
            return {"type": "auto"}, set()


def _tool(name: str, description: str | None, schema: Json | None, strict: bool = False, known: Abilities | None = None) -> Json:
    taken, told = tool_input(schema)
    tool: Json = {"name": name}
    if description := "\n\n".join(filter(None, (description, told))):
        tool["description"] = description
    tool["input_schema"] = taken
    if strict and known is not None and known.native_schema:
        tool |= {"strict": True, "input_schema": closed(taken)}
    return tool


def _calls_in(turns: list[Json]) -> list[str]:
    """The names of the tools that were called, in order, each once."""
    blocks = (block for turn in turns if turn["role"] == "assistant" for block in turn["content"])
    return list(dict.fromkeys(block["name"] for block in blocks if isinstance(block, dict) and block["type"] == "tool_use"))
