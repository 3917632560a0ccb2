from .connection import Pace
from .diagnose import Diagnosis, examine
from .registry import McpRegistry
from .spec import McpServers, McpServerSpec, servers_in

__all__ = ["Diagnosis", "McpRegistry", "McpServerSpec", "McpServers", "Pace", "examine", "servers_in"]
