"""The operator's files, whatever their kind: which kind one is, and what is wrong with it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from agentrt.agents import AgentSpec, check
from agentrt.configs import BadDocument, Kind, files_of, fit, load, parse, scan, why_nothing
from agentrt.kernel import Invalid
from agentrt.mcp_registry import McpServers
from agentrt.providers import OfflineRules
from agentrt.settings import Leaf, Options, SettingsInvalid, load_settings, read_settings_file

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
            problems.append(f"{path}: {why_nothing(path)}")
        for file in files:
            by_kind[_sort_of(file)].append(file)
    good = 0
    for file in by_kind.pop("settings", ()):
        found = _settings_problems(file)
        good += not found
        problems += found
    for sort, files in by_kind.items():
        seen = scan(_kind(sort, *files), {})
        good += len(seen.loaded)
        problems += map(str, sorted(seen.problems))
    return Checked(good, tuple(problems))


def _settings_problems(file: Path) -> list[str]:
    """What would keep a server with this settings file from starting."""
    from agentrt.containers import ContainerOptions
    from agentrt.providers import Abilities, Price, ProviderEntry, own_wires

    try:
        settings, leaves = load_settings({"settings": str(file)}, {}, file.absolute().parent), read_settings_file(file)
    except SettingsInvalid as exc:
        return [exc.message]
    problems: list[str] = []
    for name, given, of in (
        ("providers", own_wires(settings.providers), dict[str, ProviderEntry]),
        ("models", settings.models, dict[str, Abilities]),
        ("prices", settings.prices, dict[str, Price]),
        ("containers", settings.containers, ContainerOptions),
    ):
        try:
            fit(given, of, name)
        except Invalid as exc:
            problems += [_placed(problem, leaves) for problem in exc.message.splitlines()]
    return problems


def _placed(problem: str, leaves: Sequence[Leaf]) -> str:
    """A problem that begins with the setting's name, with the first place in the file that says something there."""
    name = problem.partition(" in the settings")[0]
    written = {".".join(leaf.place): leaf.source for leaf in leaves}
    place = next((source for setting, source in written.items() if setting.startswith(name) or name.startswith(setting)), "")
    return f"{place}: {problem}" if place else problem


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
    for key in keys if "name" not in keys else ():
        if key not in AgentSpec.__struct_fields__ and key in Options.__struct_fields__:
            return "settings"
        if near := get_close_matches(key, _MARKS, 1, 0.75):  # misspelt it is still no agent
            return _MARKS[near[0]]
    return "agent"
