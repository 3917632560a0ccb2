import shlex
import sys
from pathlib import Path

import click
import pytest

from agentrt.cli import banner
from agentrt.cli.own_name import own_name


def test_the_banner_says_where_which_model_and_why_and_gives_a_line_to_paste():
    text = click.unstyle(
        banner(
            url="http://127.0.0.1:8080",
            agent="default",
            model="offline/offline",
            why="nothing else is configured",
            data_dir="/data",
            skipped=["openai/gpt: openai is not configured: set OPENAI_API_KEY"],
            warnings=["anyone can reach this"],
        )
    )
    assert "agentrt listens on http://127.0.0.1:8080" in text
    assert "default uses offline/offline: nothing else is configured" in text
    assert "not openai/gpt: openai is not configured: set OPENAI_API_KEY" in text
    assert "warning anyone can reach this" in text
    curl = next(line for line in text.splitlines() if line.strip().startswith("curl"))
    assert shlex.split(curl)[:2] == ["curl", "http://127.0.0.1:8080/v1/chat/completions"]
    assert text.splitlines()[-1] == "  agentrt chat"


def test_the_command_to_chat_leads_to_this_server_and_can_be_pasted():
    said = {"agent": "a", "model": "m/m", "why": "why", "data_dir": "/data"}
    text = click.unstyle(banner(url="http://127.0.0.1:9000", command=".venv/bin/agentrt", **said))
    assert text.splitlines()[-1] == "  .venv/bin/agentrt chat --url http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("started", "typed"),
    [
        ("agentrt", "agentrt"),
        ("/home/ann/project/.venv/bin/agentrt", ".venv/bin/agentrt"),
        (".venv/bin/agentrt", ".venv/bin/agentrt"),
        ("/opt/my tools/agentrt", "'/opt/my tools/agentrt'"),
        ("/usr/lib/agentrt/__main__.py", "bin/python -m agentrt"),
        ("/home/ann/project/dist/agentrt.pyz", "bin/python dist/agentrt.pyz"),
    ],
)
def test_the_program_is_named_as_it_was_started(started: str, typed: str):
    assert own_name(started, "/home/ann/project/bin/python", Path("/home/ann/project")) == typed


def test_a_program_that_the_shell_finds_is_named_by_its_name():
    found = Path(sys.executable)
    assert own_name("/bin/sh", str(found), Path("/nowhere")) == "sh"
