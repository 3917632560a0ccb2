"""The caller's own functions, and what it may ask of the choice between tools. Pure."""

from collections.abc import Collection
from typing import Any

from agentrt.events import CallerTool
from agentrt.kernel import Invalid

from . import body as b


def caller_tools(tools: list[b.WireTool]) -> tuple[CallerTool, ...]:
    """The functions of a request; Invalid for a name that comes twice, or parameters that describe no object."""
    seen: dict[str, int] = {}
    for at, tool in enumerate(tools):
        function = tool.function
        place = f"tools[{at}].function"
        if (earlier := seen.setdefault(function.name, at)) != at:
            raise Invalid(
                f"The function '{function.name}' is defined twice: tools[{earlier}] and tools[{at}].",
                code="invalid_value",
                param=f"{place}.name",
            )
        if (function.parameters or {}).get("type", "object") != "object":
            raise Invalid(
                f"The parameters of '{function.name}' must be a JSON Schema of type 'object'.",
                code="invalid_function_parameters",
                param=f"{place}.parameters.type",
            )
    return tuple(
        CallerTool(
            name=tool.function.name,
            description=tool.function.description or "",
            parameters=tool.function.parameters,
            strict=tool.function.strict,
        )
        for tool in tools
    )


def refuse_collisions(tools: tuple[CallerTool, ...], own: Collection[str], agent: str) -> None:
    """Invalid where a function has the name of a tool of the agent: nobody could tell whose call it is."""
    for at, tool in enumerate(tools):
        if tool.name in own:
            raise Invalid(
                f"'{tool.name}' is the name of a tool of the agent '{agent}'; give your function another name.",
                code="tool_name_taken",
                param=f"tools[{at}].function.name",
            )


def chosen_names(choice: str | dict[str, Any]) -> tuple[str, ...]:
    """The tools that a `tool_choice` names; Invalid where it has no known form."""
    if isinstance(choice, str):
        if choice in ("none", "auto", "required"):
            return ()
        raise Invalid(
            f"Invalid value for 'tool_choice': '{choice[:64]}'. Supported values are: 'none', 'auto', 'required', or an object.",
            code="invalid_value",
            param="tool_choice",
        )
    match choice:
        case {"type": "function", "function": {"name": str(name)}}:
            return (name,)
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required", "tools": list(tools)}} if tools:
            return tuple(_allowed_name(tool, at) for at, tool in enumerate(tools))
        case _:
            raise Invalid(
                'Invalid value for \'tool_choice\': expected {"type": "function", "function": {"name": …}} or "allowed_tools".',
                code="invalid_value",
                param="tool_choice",
            )


def refuse_impossible_choice(choice: str | dict[str, Any], offered: Collection[str]) -> None:
    """Invalid where a `tool_choice` needs a tool that is not offered."""
    for name in chosen_names(choice):
        if name not in offered:
            raise Invalid(
                f"'tool_choice' names '{name[:64]}', which is no tool of this request or its agent.",
                code="invalid_value",
                param="tool_choice",
            )
    if choice == "required" and not offered:
        raise Invalid("'tool_choice' is 'required', but there are no tools.", code="invalid_value", param="tool_choice")


def _allowed_name(tool: Any, at: int) -> str:
    match tool:
        case {"type": "function", "function": {"name": str(name)}}:
            return name
        case _:
            place = f"tool_choice.allowed_tools.tools[{at}]"
            raise Invalid(f"Invalid value for '{place}': expected a function by name.", code="invalid_value", param=place)
