"""The MCP client, run as its own text says, on both engines."""

import os
import subprocess
import sys
from pathlib import Path

from fixtures.code_server import CodeServer


def test_code_runs_a_file_is_read_and_an_agent_answers(code_server: CodeServer, examples: Path) -> None:
    env = {"PATH": os.environ["PATH"], "AGENTRT_URL": code_server.url}
    command = [sys.executable, "mcp_client.py", "ada"]
    done = subprocess.run(command, cwd=examples / "clients", env=env, capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("tools: ") and "execute_python" in lines[0]
    assert any(line.startswith("[progress]") for line in lines)
    assert lines[-3:] == ["exit code: 0", "squares.txt: [0, 1, 4, 9, 16]", "agent: The echo tool answered: Hello"]
