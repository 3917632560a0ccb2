from .check import Problem, check
from .condition import CONDITION_VARIABLES, ConditionFailed, holds
from .form import BadForm, Form, form_of
from .prompt import RUN_VARIABLES, STATIC_VARIABLES, RunVars, StaticVars, ToolLine, render_context, render_prompt
from .schema import agent_schema
from .spec import (
    DEFAULT_CHAIN,
    AgentSpec,
    Budgets,
    Effect,
    Example,
    Limits,
    Mode,
    ModelEntry,
    Parameters,
    Retry,
    SandboxRule,
    SessionRule,
    SessionSource,
    ToolRule,
)

__all__ = [
    "CONDITION_VARIABLES",
    "DEFAULT_CHAIN",
    "RUN_VARIABLES",
    "STATIC_VARIABLES",
    "AgentSpec",
    "BadForm",
    "Budgets",
    "ConditionFailed",
    "Effect",
    "Example",
    "Form",
    "Limits",
    "Mode",
    "ModelEntry",
    "Parameters",
    "Problem",
    "Retry",
    "RunVars",
    "SandboxRule",
    "SessionRule",
    "SessionSource",
    "StaticVars",
    "ToolLine",
    "ToolRule",
    "agent_schema",
    "check",
    "form_of",
    "holds",
    "render_context",
    "render_prompt",
]
