import importlib
from typing import Any

from agentrt.kernel import one_import_at_a_time
from agentrt.mcp_registry import load_sdk


def load_endpoint() -> Any:
    """The module `endpoint`, and with it the server half of the MCP SDK. Takes a good part of a second: call it in a thread."""
    load_sdk()  # it puts parts of the package off, which must not happen while another thread imports them
    return one_import_at_a_time(importlib.import_module, f"{__package__}.endpoint")
