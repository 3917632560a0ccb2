from .check import Problem, check
from .prompt import RUN_VARIABLES, STATIC_VARIABLES, RunVars, StaticVars, ToolLine, render_context, render_prompt
from .schema import agent_schema
from .spec import (
    DEFAULT_CHAIN,
    AgentSpec,
    Budgets,
    Effect,
    Example,
    Mode,
    Parameters,
    Retry,
    SessionRule,
    SessionSource,
    ToolRule,
)

__all__ = [
    "DEFAULT_CHAIN",
    "RUN_VARIABLES",
    "STATIC_VARIABLES",
    "AgentSpec",
    "Budgets",
    "Effect",
    "Example",
    "Mode",
    "Parameters",
    "Problem",
    "Retry",
    "RunVars",
    "SessionRule",
    "SessionSource",
    "StaticVars",
    "ToolLine",
    "ToolRule",
    "agent_schema",
    "check",
    "render_context",
    "render_prompt",
]
