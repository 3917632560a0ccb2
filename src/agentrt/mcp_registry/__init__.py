from .connection import Pace
from .diagnose import Diagnosis, examine
from .registry import McpRegistry
from .sdk import load as load_sdk
from .spec import McpServers, McpServerSpec, servers_in

__all__ = ["Diagnosis", "McpRegistry", "McpServerSpec", "McpServers", "Pace", "examine", "load_sdk", "servers_in"]
