"""Command line options that several commands share, and the settings that come of them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from agentrt.settings import Settings, SettingsInvalid, load_settings

Decorator = Callable[[Any], Any]

_OPTIONS: dict[str, Decorator] = {
    "addr": click.option(
        "--addr", metavar="HOST:PORT", help="Where the server listens [127.0.0.1:8080]; `:8080` means every address."
    ),
    "config": click.option("--config", metavar="PATH", help="Agent file, or a folder of them [configs/agents/]."),
    "mcp_config": click.option("--mcp-config", metavar="FILE", help="MCP servers [configs/mcp/servers.yaml]."),
    "data_dir": click.option(
        "--data-dir", metavar="FOLDER", help="Where everything is kept [./data where that holds data, else this user's own]."
    ),
    "settings": click.option("--settings", metavar="FILE", help="Settings file [agentrt.yaml]."),
    "allow_unauthenticated": click.option(
        "--allow-unauthenticated",
        is_flag=True,
        default=None,
        help="Listen where others can reach it, although nobody is asked who they are.",
    ),
    "log__level": click.option("--log-level", "log__level", metavar="LEVEL", help="debug, info, warning or error [info]."),
    "url": click.option(
        "--url", metavar="URL", help="The server to speak to [AGENTRT_URL, else the address that is configured]."
    ),
}
SERVER = ("addr", "config", "mcp_config", "data_dir", "settings", "log__level")


def flags(*names: str) -> Decorator:
    """The shared options of these names; a command takes them as `**said`."""

    def add(function: Any) -> Any:
        for name in reversed(names):
            function = _OPTIONS[name](function)
        return function

    return add


def as_json(function: Any) -> Any:
    return click.option("--json", "as_json", is_flag=True, help="For programs: JSON.")(function)


def read_settings(said: dict[str, Any]) -> Settings:
    """The settings in force with what was said on the command line."""
    try:
        here = Path.cwd()
    except OSError as exc:
        raise SettingsInvalid(f"the working directory cannot be used ({exc.strerror}): change to another one") from exc
    return load_settings({name: value for name, value in said.items() if name != "url"}, os.environ, here)
