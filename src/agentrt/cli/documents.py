"""The operator's files, whatever their kind: which kind one is, and what is wrong with it."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from agentrt.agents import AgentSpec, check
from agentrt.configs import BadDocument, Kind, files_of, load, parse, scan
from agentrt.mcp_registry import McpServers
from agentrt.providers import OfflineRules
from agentrt.settings import SettingsInvalid, read_settings_file

KINDS: dict[str, Any] = {"agent": AgentSpec, "mcp": McpServers, "offline": OfflineRules}
_MARKS = {"mcpServers": "mcp", "rules": "offline"}


class Checked(msgspec.Struct, frozen=True):
    """How many files are good, and each problem as `file:line:column: message`."""

    good: int
    problems: tuple[str, ...]


def check_documents(paths: Iterable[Path]) -> Checked:
    """Check files and folders of files; those of one kind together, so that a name used twice is found."""
    by_kind: defaultdict[str, list[Path]] = defaultdict(list)
    problems: list[str] = []
    for path in paths:
        files = [file for _, file in files_of(_kind("agent", path))]
        if not files:
            problems.append(f"{path}: " + ("the folder holds no *.yaml file" if path.is_dir() else "there is no such file"))
        for file in files:
            by_kind[_sort_of(file)].append(file)
    good = 0
    for file in by_kind.pop("settings", ()):
        try:
            read_settings_file(file)
            good += 1
        except SettingsInvalid as exc:
            problems.append(exc.message)
    for sort, files in by_kind.items():
        found = scan(_kind(sort, *files), {})
        good += len(found.loaded)
        problems += map(str, sorted(found.problems))
    return Checked(good, tuple(problems))


def read_mcp_servers(path: Path) -> McpServers:
    """The MCP servers of a file; BadDocument with its problems."""
    return load(_kind("mcp", path), path, path.name).document.value


def _kind(sort: str, *paths: Path) -> Kind[Any]:
    if sort == "agent":
        return Kind(name=sort, type=AgentSpec, paths=paths, names=lambda spec: (spec.name, *spec.aliases), check=check)
    return Kind(name=sort, type=KINDS[sort], paths=paths, optional=True)


def _sort_of(file: Path) -> str:
    """The kind of a file by what it says; an agent where that is not clear, being what people write most."""
    if file.name == "agentrt.yaml":
        return "settings"
    try:
        keys = parse(file.read_bytes(), dict[str, Any], file.name).value
    except (BadDocument, OSError):
        return "agent"
    return next((sort for mark, sort in _MARKS.items() if mark in keys), "agent")
