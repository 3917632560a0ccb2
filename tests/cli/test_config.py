import json

GOOD = "name: helper\nmodel: offline/offline\n"


def test_good_files_are_counted_whatever_their_kind(agentrt, tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "helper.yaml").write_text(GOOD)
    (tmp_path / "servers.yaml").write_text("mcpServers:\n  echo: {command: echo}\n")
    (tmp_path / "rules.yaml").write_text("rules:\n  - {match: hi, reply: ho}\n")
    (tmp_path / "agentrt.yaml").write_text("addr: ':8080'\n")
    done = agentrt("config", "check", "agents", "servers.yaml", "rules.yaml", "agentrt.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "4 files can be used, 0 problems\n")


def test_problems_are_lines_that_an_editor_can_jump_to(agentrt, tmp_path):
    (tmp_path / "a.yaml").write_text("name: a\nprompts: hello\n")
    (tmp_path / "b.yaml").write_text(GOOD)
    (tmp_path / "c.yaml").write_text(GOOD)
    (tmp_path / "d.yaml").write_text("name: [\n")
    (tmp_path / "agentrt.yaml").write_text("adr: ':8080'\n")
    done = agentrt("config", "check", "a.yaml", "b.yaml", "c.yaml", "d.yaml", "agentrt.yaml", "none.yaml")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "none.yaml: there is no such file or folder" in lines
    assert "agentrt.yaml:1:1: unknown setting 'adr' (did you mean 'addr'?)" in lines
    assert any(line.startswith("a.yaml:2:1: unknown field 'prompts' (did you mean 'prompt'?)") for line in lines)
    assert any(line.startswith("c.yaml:1:7: the name 'helper' is taken by b.yaml") for line in lines)
    assert any(line.startswith("d.yaml:") for line in lines)
    assert done.stderr == "1 file can be used, 5 problems\n"
    found = json.loads(agentrt("config", "check", "a.yaml", "--json").stdout)
    assert (found["good"], len(found["problems"])) == (0, 1)


SETTINGS = """\
providers:
  fine: {base_url: "http://127.0.0.1:1", connect_s: 1}
  local:
    wire: opneai
    base_ur: http://127.0.0.1:2
  cloud: {client: sdk, sdk: {kind: bedrok}}
prices:
  "local/*": {inptu: 1}
models:
  "local/*": {visoin: true}
containers:
  engine: podman
  pools:
    code: {mni: 5}
"""


def test_settings_are_checked_down_to_the_last_key(agentrt, tmp_path):
    (tmp_path / "agentrt.yaml").write_text(SETTINGS)
    done = agentrt("config", "check", "agentrt.yaml")
    assert (done.returncode, done.stdout.splitlines()) == (
        1,
        [
            "agentrt.yaml:6:29: providers.cloud.sdk.kind in the settings: 'bedrok' is not one of "
            "'openai', 'azure', 'anthropic', 'bedrock', 'gemini', 'vertex' (did you mean 'bedrock'?)",
            "agentrt.yaml:4:11: providers.local.wire in the settings: 'opneai' is not one of "
            "'anthropic', 'gemini', 'offline', 'ollama', 'openai', 'openai_responses' (did you mean 'openai'?)",
            "agentrt.yaml:4:11: providers.local in the settings: unknown field 'base_ur' (did you mean 'base_url'?)",
            "agentrt.yaml:10:23: models.local/* in the settings: unknown field 'visoin' (did you mean 'vision'?)",
            "agentrt.yaml:8:22: prices.local/* in the settings: unknown field 'inptu' (did you mean 'input'?)",
            "agentrt.yaml:12:11: containers.engine in the settings: 'podman' is not one of "
            "'auto', 'bubblewrap', 'docker', 'none'",
            "agentrt.yaml:14:5: containers.pools.code in the settings: unknown field 'mni' (did you mean 'min'?)",
        ],
    )
    (tmp_path / "agentrt.yaml").write_text("addr: localhost:x\n")
    done = agentrt("config", "check", "agentrt.yaml")
    assert done.stdout == "agentrt.yaml:1:7: expected a port from 0 to 65535, got 'x'\n"


def test_a_misspelt_file_is_taken_for_what_it_was_meant_to_be(agentrt, tmp_path):
    (tmp_path / "servers.yaml").write_text("mcp_servers:\n  a: {command: x}\n")
    (tmp_path / "mine.yaml").write_text("addr: ':8080'\nlgo: {level: info}\n")
    assert agentrt("config", "check", "servers.yaml", "mine.yaml").stdout.splitlines() == [
        "mine.yaml:2:1: unknown setting 'lgo' (did you mean 'log'?)",
        "servers.yaml:1:1: unknown field 'mcp_servers' (did you mean 'mcpServers'?) at $",
    ]


def test_schemas_are_json_schema(agentrt):
    for kind in ("agent", "mcp", "offline", "settings"):
        schema = json.loads(agentrt("config", "schema", kind).stdout)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "AgentSpec" in agentrt("config", "schema").stdout


def test_wrong_usage(agentrt):
    assert agentrt("config", "check").returncode == 2
    done = agentrt("config", "schema", "agnt")
    assert done.returncode == 2
    assert "'agnt' is not one of 'agent', 'mcp', 'offline', 'settings'" in done.stderr
