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
    assert "none.yaml: there is no such file" in lines
    assert "agentrt.yaml:1:1: unknown setting 'adr' (did you mean 'addr'?)" in lines
    assert any(line.startswith("a.yaml:2:1: unknown field 'prompts' (did you mean 'prompt'?)") for line in lines)
    assert any(line.startswith("c.yaml:1:7: the name 'helper' is taken by b.yaml") for line in lines)
    assert any(line.startswith("d.yaml:") for line in lines)
    assert done.stderr == "1 file can be used, 5 problems\n"
    found = json.loads(agentrt("config", "check", "a.yaml", "--json").stdout)
    assert (found["good"], len(found["problems"])) == (0, 1)


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
