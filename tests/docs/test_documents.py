"""What the documents say, against what is so."""

import json
import re
import subprocess
import sys
import tomllib
from typing import Any, get_args

import click
import msgspec
import pytest
import yaml

from agentrt.agents import AgentSpec, check
from agentrt.bus import Signal
from agentrt.cli.main import COMMANDS, commands
from agentrt.configs import parse
from agentrt.events import LiveEvent, StoredEvent
from agentrt.http import STATUS
from agentrt.mcp_registry import McpServers, McpServerSpec
from agentrt.providers import OfflineRules, ProviderEntry, entries_from

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
YAML = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
# what events hold but readers are not shown, or need not know
NOT_SHOWN = {
    "ask",
    "boot",
    "body_hash",
    "call",
    "context",
    "idempotency_key",
    "only",
    "parent_run_id",
    "session_key",
    "system",
    "tenant",
}
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The anchors of a page, as code hosts make them from its headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in HEADING.findall(text)}


def named(word: str, text: str) -> bool:
    """Whether a code span holds the word."""
    return any(word in re.split(r"[\s,]+", span) for span in re.findall(r"`([^`\n]+)`", FENCED.sub("", text)))


def test_the_generated_tables_are_up_to_date(root):
    done = subprocess.run([sys.executable, "scripts/reference.py", "--check"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_link_leads_somewhere(root, pages):
    broken = []
    for page, text in pages.items():
        for link in LINK.findall(text):
            if link.startswith(("http://", "https://")):
                continue
            path, _, anchor = link.partition("#")
            target = ((root / page).parent / path).resolve() if path else root / page
            if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
                broken.append(f"{page}: {link}")
    assert broken == []


def test_every_page_can_be_reached_from_the_readme(pages):
    linked = {link.partition("#")[0] for link in LINK.findall(pages["README.md"])}
    assert {page for page in pages if re.fullmatch(r"docs/[^/]+\.md", page)} <= linked


def test_decisions_are_numbered_without_a_gap_and_fit_on_a_screen(root):
    records = sorted((root / "docs/decisions").glob("*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        text = record.read_text()
        assert text.startswith(f"# {int(record.name[:4])}. ") and "**Why.**" in text and "**What.**" in text and "**So.**" in text
        assert len(text.splitlines()) <= 45, record.name


def test_the_picture_shows_every_package(root, pages):
    picture = pages["docs/architecture.md"].partition("```mermaid")[2].partition("```")[0]
    source = root / "src/agentrt"
    parts = {file.parent.name for file in source.glob("*/__init__.py")} | {file.stem for file in source.glob("[a-z]*.py")}
    assert {part for part in parts if not re.search(rf"\b{part}\b", picture)} == set()


def test_the_layers_are_those_that_are_held(root, pages):
    held = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    shown = pages["docs/architecture.md"].partition("`cli` > ")[2].partition("\n\n")[0]
    layers = [{"cli"}, *(set(re.findall(r"`(\w+)`", layer)) for layer in shown.split(">"))]
    # what is not there yet stands in brackets
    assert layers == [names for layer in held if (names := set(re.findall(r"\w+", re.sub(r"\(\w+\)", "", layer))))]


def test_every_command_is_in_the_readme(pages):
    for name in COMMANDS:
        (row,) = (line for line in pages["README.md"].splitlines() if re.match(rf"\| `agentrt {name}\b", line))
        command = commands.get_command(click.Context(commands), name)
        assert not isinstance(command, click.Group) or {part for part in command.commands if part not in row} == set()


def test_every_address_of_the_api_is_explained(root, pages):
    """Those of an earlier system by their beginnings."""
    done = subprocess.run([sys.executable, "-m", "agentrt", "openapi"], cwd=root, capture_output=True, check=True)
    text = re.sub(r"{[^}]*}", "{}", "\n".join(pages.values()))
    paths = {re.sub(r"{[^}]*}", "{}", path) for path in json.loads(done.stdout)["paths"]}
    assert {path for path in paths if path not in text and not path.startswith("/api/v1/")} == set()


@pytest.mark.parametrize("page", ["README.md", "docs/agents.md", "docs/mcp.md", "docs/offline.md"])
def test_yaml_in_the_documents_can_be_used(page, pages):
    """Agents have a `name` first, servers and rules their mark; other programs' files are not ours to judge."""
    kinds: dict[str, type[Any]] = {"name": AgentSpec, "mcpServers": McpServers, "rules": OfflineRules}
    judged = 0
    for text in YAML.findall(pages[page]):
        mark = text.partition(":")[0]
        if mark not in kinds or "schema: v1" in text:
            continue
        document = parse(text.encode(), kinds[mark], page)
        if mark == "name":
            document.require(check)
        judged += 1
    assert judged > 0


@pytest.mark.parametrize(
    ("page", "struct"),
    [("docs/mcp.md", McpServerSpec), ("docs/configuration.md", ProviderEntry)],
)
def test_every_key_is_explained(page, struct, pages):
    keys = [field.encode_name for field in msgspec.structs.fields(struct)]
    assert [key for key in keys if not named(key, pages[page])] == []


def test_every_provider_of_the_documents_is_one(pages):
    entries = {
        name: msgspec.convert(entry, ProviderEntry)
        for text in YAML.findall(pages["docs/providers.md"])
        for name, entry in yaml.safe_load(text)["providers"].items()
    }
    assert {"openai", "reasoning", "azure", "bedrock", "vertex"} <= entries.keys()


def test_every_key_of_an_offline_rule_is_explained(pages):
    schema = msgspec.json.schema(OfflineRules)["$defs"]
    keys = {key for name, struct in schema.items() if name != "OfflineRules" for key in struct["properties"]}
    assert {key for key in keys if not named(key, pages["docs/offline.md"])} == set()


def test_every_provider_is_explained_with_its_models(pages):
    table = pages["docs/configuration.md"]
    for name, entry in entries_from({}, {}).items():
        assert f"| `{name}` |" in table
        assert all(glob in table for glob in entry.models), name


def test_every_event_is_explained_with_its_fields(pages):
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)$", pages["docs/api.md"].partition("## Events")[2], re.MULTILINE))
    for event in get_args(StoredEvent) + get_args(LiveEvent):
        row = rows[event.__struct_config__.tag]
        fields = {field.name for field in msgspec.structs.fields(event)} - NOT_SHOWN
        if event.__struct_config__.tag != "run_queued":
            assert {field for field in fields if not named(field, row)} == set(), event


def test_every_signal_is_explained(pages):
    assert all(f"`{signal.__name__}`" in pages["docs/architecture.md"] for signal in Signal.__subclasses__())


def test_every_status_is_explained(pages):
    for page in ("docs/api.md", "docs/openai.md"):
        told = set(map(int, re.findall(r"\b[45]\d\d\b", pages[page].partition("## Errors")[2])))
        ours = {status for kind, status in STATUS.items() if page.endswith("openai.md") or kind not in ("upstream", "timeout")}
        assert ours - told <= {403}, page
