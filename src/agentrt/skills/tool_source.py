from collections.abc import Mapping, Sequence

from agentrt.agents import READ_SKILL, AgentSpec
from agentrt.kernel import Principal
from agentrt.messages import Text, ToolCall, ToolResult
from agentrt.tools import CallContext, ToolDef, parse_arguments

from .service import Skills
from .skill import SKILL_FILE

TOOL = ToolDef(
    id=READ_SKILL,
    description="Reads a skill: its instructions, or another of its files.",
    schema={
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "The skill's name."},
            "file": {"type": "string", "description": f"A file of the skill; {SKILL_FILE} where it is left out."},
        },
        "required": ["name"],
        "additionalProperties": False,
    },
    effect="read",
)


class SkillTools:
    """A tool source with one tool, for agents that have skills."""

    def __init__(self, skills: Skills) -> None:
        self._skills = skills

    async def list(self, agent: AgentSpec, who: Principal) -> Sequence[ToolDef]:
        return (TOOL,) if agent.skills else ()

    def missing(self, agent: AgentSpec, who: Principal) -> Mapping[str, str]:
        return {}

    async def call(self, call: ToolCall, ctx: CallContext) -> ToolResult:
        args = parse_arguments(call)
        try:
            text = self._skills.read(ctx.agent, str(args.get("name", "")), str(args.get("file") or SKILL_FILE))
        except (ValueError, OSError) as exc:
            return ToolResult(call.id, (Text(str(exc)),), is_error=True)
        return ToolResult(call.id, (Text(text),))
