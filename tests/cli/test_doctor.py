import json
import socket

import pytest

from agentrt.providers.entry import WELL_KNOWN

AGENT = "name: helper\nmodel: offline/offline\n"


@pytest.fixture
def configured(tmp_path):
    """A folder as people have it: one agent, no MCP server."""
    (tmp_path / "configs" / "agents").mkdir(parents=True)
    (tmp_path / "configs" / "mcp").mkdir()
    (tmp_path / "configs" / "agents" / "helper.yaml").write_text(AGENT)
    (tmp_path / "configs" / "mcp" / "servers.yaml").write_text("mcpServers: {}\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def verdicts(done) -> dict[str, tuple[str, str]]:
    return {check["name"]: (check["verdict"], check["detail"]) for check in json.loads(done.stdout)}


def test_a_fresh_machine_is_well_and_is_told_what_to_set(agentrt, configured):
    done = agentrt("doctor", "--addr", configured)
    assert done.returncode == 0, done.stdout
    assert "none is configured: the embedded offline model answers" in done.stdout
    hint = next(line for line in done.stdout.splitlines() if "→ set " in line)
    assert all(name in hint for known in WELL_KNOWN.values() for name in known.keys[:1]) and "OLLAMA_HOST" in hint
    assert "→ start one: agentrt serve" in done.stdout


def test_keys_are_named_and_never_shown(agentrt, configured):
    done = agentrt("doctor", "--addr", configured, "--json", OPENAI_API_KEY="sk-hunter2", OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert "hunter2" not in done.stdout + done.stderr
    claude = verdicts(agentrt("doctor", "--addr", configured, "--json", ANTHROPIC_API_KEY="sk-hunter2"))["provider anthropic"]
    assert claude == ("ok", "key from ANTHROPIC_API_KEY")
    assert verdicts(done)["provider openai"] == ("ok", "at http://127.0.0.1:9/v1, key from OPENAI_API_KEY")


def test_what_is_wrong_is_named_with_what_to_do(agentrt, configured, tmp_path):
    (tmp_path / "configs" / "agents" / "helper.yaml").write_text("nam: helper\n")
    servers = "mcpServers:\n  gone: {command: no-such-program}\n  silent: {url: 'http://127.0.0.1:9/mcp'}\n"
    (tmp_path / "configs" / "mcp" / "servers.yaml").write_text(servers)
    database = "postgres://me:hunter2@127.0.0.1:9/agents"
    done = agentrt("doctor", "--addr", configured, "--json", "--data-dir", "/proc/agentrt", DATABASE_URL=database)
    found = verdicts(done)
    assert done.returncode == 1
    assert "hunter2" not in done.stdout
    assert found["config"][0] == "fail"
    assert "did you mean 'name'?" in found["config"][1]
    assert found["data folder"][0] == "fail"
    assert found["database"][0] == "fail"
    assert found["mcp gone"][0] == found["mcp silent"][0] == "warn"


def test_settings_that_do_not_fit_are_checks_that_failed(agentrt, configured):
    wrong = {"AGENTRT_PROVIDERS__LOCAL__BASE_UR": "x", "AGENTRT_CONTAINERS__ENGINE": "podman"}
    found = verdicts(agentrt("doctor", "--addr", configured, "--json", **wrong))
    assert found["providers"] == ("fail", "providers.local in the settings: unknown field 'base_ur' (did you mean 'base_url'?)")
    assert found["containers"][0] == "fail" and "'podman' is not one of 'auto', " in found["containers"][1]
    unset = verdicts(agentrt("doctor", "--addr", configured, "--json", AGENTRT_PROVIDERS__LOCAL__BASE_URL="${NOPE}"))
    assert unset["providers"] == ("fail", "providers.local in the settings: the environment variable NOPE is not set")


def test_a_port_in_use_and_a_stranger_at_the_address(agentrt, configured, scripted):
    scripted.answers["GET /health"] = (200, {"hello": "world"})
    port = scripted.url.rpartition(":")[2]
    done = agentrt("doctor", "--addr", f"127.0.0.1:{port}", "--json")
    assert verdicts(done)["address"] == (
        "fail",
        f"what answers at {scripted.url} is not agentrt: name the server with --url or AGENTRT_URL",
    )
    assert done.returncode == 1


def test_a_running_server_is_asked_for_its_mcp_servers_and_modules(agentrt, configured, scripted):
    health = {
        "status": "degraded",
        "service": "agentrt",
        "version": "1",
        "modules": {"usage": {"status": "failed", "detail": "x"}},
    }
    up = {"name": "echo", "state": "connected", "tools": ["a", "b"], "last_error": None, "suggestion": None}
    why, hint = "it answers 404; did you mean /mcp ?", "did you mean /mcp ?"
    down = {"name": "far", "state": "failed", "tools": [], "last_error": why, "suggestion": hint}
    image = {"engine": "bubblewrap", "version": "1", "image": "the image is being built: try again soon"}
    health["modules"]["containers"] = {"status": "starting", "detail": image}
    scripted.answers["GET /health"] = (200, health)
    scripted.answers["GET /mcp-servers"] = (200, {"data": [up, down]})
    done = agentrt("doctor", "--url", scripted.url, "--json")
    found = verdicts(done)
    assert found["address"] == ("ok", f"agentrt 1 answers at {scripted.url}: degraded")
    assert found["mcp echo"] == ("ok", "connected, 2 tools")
    assert found["mcp far"] == ("warn", "failed: it answers 404")
    assert found["containers"] == ("note", "bubblewrap 1, the image is being built: try again soon")
    assert found["module usage"] == ("warn", "failed: x")
    assert done.returncode == 0
