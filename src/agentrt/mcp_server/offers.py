from collections.abc import Mapping
from typing import Any

import msgspec

from agentrt.files import Blobs
from agentrt.kernel import Principal

from .agent_tools import PREFIX, AgentTools
from .answer import Answer, Emit
from .prompts import Prompts
from .tools import Tools
from .workspace_files import WorkspaceFiles


class Offers(msgspec.Struct, frozen=True, kw_only=True):
    """All that this server offers over MCP."""

    tools: Tools
    agents: AgentTools
    files: WorkspaceFiles
    prompts: Prompts
    blobs: Blobs

    async def call(self, who: Principal, name: str, arguments: Mapping[str, Any], emit: Emit) -> Answer:
        """Of a tool or an agent. NotFound (`tool_not_found`) where there is neither; what keeps a run from starting."""
        source = self.agents if name.startswith(PREFIX) else self.tools
        return await source.call(who, name, arguments, emit)
