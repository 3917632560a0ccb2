import asyncio
import sys
from pathlib import Path

import msgspec
import pytest
import yaml

from agentrt.kernel import Invalid, Principal
from agentrt.mcp_registry import McpServers, McpServerSpec, examine, servers_in
from agentrt.mcp_registry.target import HttpTarget, StdioTarget, target_of

ROOT = Path(__file__).parents[2]


def read(text: str) -> dict[str, McpServerSpec]:
    return msgspec.convert(yaml.safe_load(text), McpServers).servers


def target(spec: McpServerSpec, env: dict[str, str] | None = None, user: str = ""):
    return target_of(spec, Principal(user=user), env or {})


def test_the_form_that_other_programs_have_is_read_as_it_is() -> None:
    servers = read("""
      mcpServers:
        files: {command: npx, args: [-y, server-files, /tmp], env: {LOG: debug}, disabled: true, autoApprove: [read]}
        web: {type: streamableHttp, url: "https://example.com/mcp", headers: {Authorization: Bearer x}}
        vs: {type: stdio, command: uvx, args: [thing]}
    """)
    assert not servers["files"].on and servers["web"].on
    assert {name: spec.transport for name, spec in servers.items()} == {"files": "stdio", "web": "http", "vs": "stdio"}


def test_a_key_that_does_not_exist_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="comand"):
        read("mcpServers: {x: {comand: ls}}")


def test_variables_are_replaced_and_their_values_known_as_secrets() -> None:
    spec = McpServerSpec(url="https://example.com/${PLACE:-mcp}", headers={"Authorization": "Bearer ${TOKEN}", "X": "${EMPTY:-}"})
    made = target(spec, {"TOKEN": "abcdef123"})
    assert isinstance(made, HttpTarget)
    assert (made.url, made.headers) == ("https://example.com/mcp", {"Authorization": "Bearer abcdef123"})
    assert "abcdef123" in made.secrets


def test_a_user_is_put_into_headers_as_it_is_and_never_read_as_a_template() -> None:
    spec = McpServerSpec(url="http://h/mcp", headers={"x-user-id": "${AGENTRT_USER:-nobody}", "y": "u=${AGENTRT_USER};${HOST}"})
    assert spec.per_user
    made = target(spec, {"HOST": "here", "SECRET": "s3cr3t-value"}, user="${SECRET}\r\nx: y")
    assert made.headers["x-user-id"] == "${SECRET}%0D%0Ax: y"
    assert target(spec, {"HOST": "here"}).headers == {"x-user-id": "nobody", "y": "u=;here"}


def test_a_command_runs_with_little_of_the_environment() -> None:
    made = target(McpServerSpec(command="ls", env={"A": "${B}"}), {"PATH": "/bin:/usr/bin", "B": "1", "OPENAI_API_KEY": "k"})
    assert isinstance(made, StdioTarget)
    assert made.env == {"PATH": "/bin:/usr/bin", "A": "1"}


def test_python_is_ours_where_there_is_no_other() -> None:
    assert target(McpServerSpec(command="python"), {"PATH": "/nowhere"}).command == sys.executable
    assert target(McpServerSpec(command="${AGENTRT_PYTHON}")).command == sys.executable


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (McpServerSpec(command="no-such-command"), "the command 'no-such-command' does not exist"),
        (McpServerSpec(command="./run", cwd="/no/such/folder"), "its working directory '/no/such/folder' does not exist"),
        (McpServerSpec(command="ls", args=("${NOT_SET}",)), "the environment variable NOT_SET is not set"),
        (McpServerSpec(type="http"), "it has no url"),
    ],
)
def test_what_cannot_be_started_is_said_in_a_sentence(spec, words) -> None:
    with pytest.raises(Invalid, match=words):
        target(spec, {"PATH": "/bin:/usr/bin"})


def test_the_servers_we_ship_start_from_where_their_file_lies() -> None:
    folder = ROOT / "configs" / "mcp"
    document = msgspec.convert(yaml.safe_load((folder / "servers.yaml").read_text()), McpServers)
    made = target(servers_in(document, folder=folder, env={})["echo"], {"PATH": "/bin"})
    assert isinstance(made, StdioTarget)
    assert made.cwd is not None and (Path(made.cwd) / made.args[0]).resolve() == ROOT / "examples/mcp-servers/echo/server.py"


def test_a_doctor_learns_what_is_wrong_without_starting_anything() -> None:
    found = asyncio.run(examine(McpServerSpec(command="no-such-command"), {"PATH": "/bin"}))
    assert found is not None and found.problem.startswith("the command 'no-such-command' does not exist")
    assert asyncio.run(examine(McpServerSpec(command="ls"), {"PATH": "/bin:/usr/bin"})) is None
