"""The tools that every server has: the clock, a calculator, and `finish_task` for autonomous runs."""

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agentrt.agents import AgentSpec
from agentrt.kernel import Clock, Principal
from agentrt.messages import Text, ToolCall, ToolResult

from .arguments import parse_arguments
from .source import CallContext, ToolDef


class BadArguments(Exception):
    """What is wrong with the arguments of a call, as a sentence for the model."""


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


CLOCK = ToolDef(
    id="clock",
    description="Tells the current date and time.",
    schema=_object({"timezone": {"type": "string", "description": "IANA name such as Europe/Berlin; UTC where it is left out."}}),
    effect="read",
)
CALCULATOR = ToolDef(
    id="calculator",
    description="Evaluates an arithmetic expression: + - * / // % ** and parentheses.",
    schema=_object({"expression": {"type": "string", "description": "For example (2 + 3) * 4"}}, "expression"),
    effect="read",
)
FINISH_TASK = ToolDef(
    id="finish_task",
    description="Ends the task. Call it once, when the task is done, with the result for the person who gave it.",
    schema=_object({"result": {"type": "string", "description": "The final answer."}}, "result"),
    effect="read",
)


class BuiltinTools:
    """A tool source that needs no other process."""

    _tools: ClassVar = (CLOCK, CALCULATOR, FINISH_TASK)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._functions: Mapping[str, Callable[[dict[str, Any]], str]] = {
            CLOCK.id: self._tell_time,
            CALCULATOR.id: lambda args: _format(evaluate(_string(args, "expression"))),
            FINISH_TASK.id: lambda args: _string(args, "result"),
        }

    async def list(self, agent: AgentSpec, who: Principal) -> Sequence[ToolDef]:
        return self._tools

    def missing(self, agent: AgentSpec, who: Principal) -> Mapping[str, str]:
        return {}

    async def call(self, call: ToolCall, ctx: CallContext) -> ToolResult:
        try:
            text, failed = self._functions[call.name](parse_arguments(call)), False
        except (BadArguments, ValueError) as exc:
            text, failed = str(exc), True
        return ToolResult(call.id, (Text(text),), is_error=failed)

    def _tell_time(self, args: dict[str, Any]) -> str:
        name = args.get("timezone") or "UTC"
        try:
            zone = UTC if name == "UTC" else ZoneInfo(str(name))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise BadArguments(f"{name!r} is not a time zone; use an IANA name such as Europe/Berlin") from None
        now = datetime.fromtimestamp(self._clock.now_us() / 1e6, zone)
        return f"{now:%A, %Y-%m-%d %H:%M:%S %Z} ({now.isoformat(timespec='seconds')})"


def _string(args: dict[str, Any], name: str) -> str:
    value = args.get(name)
    if not isinstance(value, str):
        raise BadArguments(f"the argument {name!r} must be a string")
    return value


_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
MAX_EXPRESSION, MAX_BITS = 500, 4096


def evaluate(expression: str) -> int | float:
    """The value of an arithmetic expression; BadArguments says what is wrong with it. Bounded in time and size."""
    if len(expression) > MAX_EXPRESSION:
        raise BadArguments(f"the expression is longer than {MAX_EXPRESSION} characters")
    try:
        value = _value(ast.parse(expression.strip().replace("^", "**"), mode="eval").body)
    except SyntaxError:
        raise BadArguments(f"{expression!r} is not an arithmetic expression") from None
    except ZeroDivisionError:
        raise BadArguments("division by zero") from None
    except (OverflowError, RecursionError, MemoryError):
        raise BadArguments("the result is too large") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise BadArguments("the result is too large")
    return value


def _real(value: Any) -> Any:
    if isinstance(value, complex):
        raise BadArguments("the result is not a real number")
    return value


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            a, b = _value(left), _value(right)
            _refuse_giants(op, a, b)
            return _real(_BINARY[type(op)](a, b))
        case _:
            raise BadArguments("only numbers, + - * / // % ** and parentheses are understood")


def _refuse_giants(op: ast.operator, a: Any, b: Any) -> None:
    """Powers and products of big integers take time without bound; floats overflow by themselves."""
    if not (isinstance(op, ast.Pow | ast.Mult) and isinstance(a, int) and isinstance(b, int)):
        return
    bits = a.bit_length() * max(b, 0) if isinstance(op, ast.Pow) else a.bit_length() + b.bit_length()
    if bits > MAX_BITS:
        raise BadArguments("the result is too large")


def _format(value: int | float) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)
