"""The client half of the MCP SDK, and no more of it.

`import mcp` runs the package's `__init__`, which pulls in the server half too: 34 MiB and 0.6 s of CPU, against 21 MiB and
0.35 s for what a client needs. So the two packages on the way are entered with their `__init__` put off until somebody asks
one of them for a name, which then works as always.
"""

import importlib
import importlib.util
import logging
import ssl
import sys
from functools import cache
from typing import Any

import msgspec

from agentrt.kernel import one_import_at_a_time

_PUT_OFF = ("mcp", "mcp.client")
# What goes wrong in the client reaches us as exceptions; what httpx says of each request holds whole addresses.
_LOUD = {"mcp.client": logging.CRITICAL, "mcp.shared": logging.CRITICAL, "client": logging.CRITICAL, "httpx2": logging.WARNING}
# How long a server may take to end by itself once its standard input is closed; then it is told to. Shutting down waits for it.
_LEAVE_S = 0.5


class Sdk(msgspec.Struct, frozen=True):
    """The modules of the SDK that the registry works with, loaded."""

    types: Any
    session: Any
    stdio: Any
    http: Any
    subscriptions: Any
    dispatcher: Any
    errors: Any
    httpx: Any


def load() -> Sdk:
    """Import it. Takes a good third of a second the first time: call it in a thread."""
    return one_import_at_a_time(_load)


@cache
def tls() -> ssl.SSLContext:
    """One set of trusted roots for all connections: each would otherwise read its own."""
    return load().httpx.create_ssl_context()


@cache
def _load() -> Sdk:
    for name in _PUT_OFF:
        if name not in sys.modules:
            _defer(name)
    for name, level in _LOUD.items():
        logging.getLogger(name).setLevel(level)
    stdio: Any = importlib.import_module("mcp.client.stdio")
    stdio.PROCESS_TERMINATION_TIMEOUT = _LEAVE_S
    return Sdk(
        types=importlib.import_module("mcp_types"),
        session=importlib.import_module("mcp.client.session"),
        stdio=stdio,
        http=importlib.import_module("mcp.client.streamable_http"),
        subscriptions=importlib.import_module("mcp.client.subscriptions"),
        dispatcher=importlib.import_module("mcp.shared.jsonrpc_dispatcher"),
        errors=importlib.import_module("mcp.shared.exceptions"),
        httpx=importlib.import_module("httpx2"),
    )


def _defer(name: str) -> None:
    """Enter the package `name` with an `__init__` that runs when a name is asked of it that is not there yet."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader

    def run_init(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        if module.__dict__.pop("__getattr__", None) is not None:
            loader.exec_module(module)
        return getattr(module, attribute)

    module.__dict__["__getattr__"] = run_init
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
