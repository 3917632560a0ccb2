"""What the wheel carries beside the package, as `agentrt/_share`: migrations, default configuration, the echo server.

An editable install carries nothing: `agentrt` finds these in the checkout.
"""

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHARED = ("alembic.ini", "migrations", "configs", "examples/mcp-servers/echo")


class Share(BuildHookInterface):
    def initialize(self, version: str, build_data: dict) -> None:
        if version == "standard":
            build_data["force_include"].update({path: f"agentrt/_share/{path}" for path in SHARED})
