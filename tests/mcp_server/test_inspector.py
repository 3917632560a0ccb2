"""MCP Inspector, with which people look at a server, in both of the ways it can speak."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.code_server import CodeServer

PACKAGE = "@modelcontextprotocol/inspector@2.12.0"
NODE = 22

pytestmark = pytest.mark.timeout(400)
Inspect = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def inspect(code_server: CodeServer, era: str, npm, tmp_path: Path) -> Inspect:
    """`inspect(method, …)`, by somebody of this test alone."""
    program = [npm.node(NODE), npm.program(PACKAGE, "mcp-inspector"), "--cli", f"{code_server.url}/mcp"]
    speaking = ["--transport", "http", "--protocol-era", "legacy" if era == "2025-11-25" else "modern"]

    def run(method: str, *more: str, user: str = f"inspector-{era}") -> subprocess.CompletedProcess[str]:
        command = [*program, *speaking, "--header", f"x-user-id: {user}", "--method", method, *more]
        env = {"PATH": str(npm.node(NODE).parent), "HOME": str(tmp_path)}
        return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100)

    return run


def said(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_people_see_run_and_read_with_the_inspector(inspect: Inspect) -> None:
    offered = {tool["name"] for tool in said(inspect("tools/list", "--strict"))["tools"]}
    assert {"execute_python", "write_file", "agent__default"} <= offered
    code = "open('two words.txt', 'w').write('Hello'); print(2 + 2)"
    called = said(inspect("tools/call", "--tool-name", "execute_python", "--tool-arg", f"code={code}"))
    assert called["structuredContent"]["stdout"] == "4\n" and not called["isError"]
    [file] = said(inspect("resources/list"))["resources"]
    assert (file["uri"], file["mimeType"], file["size"]) == ("workspace:///two%20words.txt", "text/plain", 5)
    assert said(inspect("resources/read", "--uri", file["uri"]))["contents"][0]["text"] == "Hello"
    assert inspect("resources/read", "--uri", file["uri"], user="somebody else").returncode != 0
    assert [prompt["name"] for prompt in said(inspect("prompts/list"))["prompts"]] == ["agent_system_prompt"]
    [message] = said(inspect("prompts/get", "--prompt-name", "agent_system_prompt"))["messages"]
    assert "- execute_python: Executes Python 3" in message["content"]["text"]
