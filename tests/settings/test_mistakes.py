"""Every mistake is one sentence that begins with where it was written."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from agentrt.settings import SettingsInvalid, load_settings
from fixtures.nobody import as_nobody


def refused(load, **said: object) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        load(**said)
    return caught.value.message


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "AGENTRT_MAX_ACTIVE_RUN",
            "3",
            "environment variable AGENTRT_MAX_ACTIVE_RUN is not a setting of agentrt (did you mean 'AGENTRT_MAX_ACTIVE_RUNS'?)",
        ),
        ("AGENTRT_XYZZY", "3", "environment variable AGENTRT_XYZZY is not a setting of agentrt"),
        (
            "AGENTRT_MAX_ACTIVE_RUNS",
            "many",
            "environment variable AGENTRT_MAX_ACTIVE_RUNS: expected a whole number, at least 1, got 'many'",
        ),
        (
            "AGENTRT_MAX_ACTIVE_RUNS",
            "0",
            "environment variable AGENTRT_MAX_ACTIVE_RUNS: expected a whole number, at least 1, got '0'",
        ),
        (
            "AGENTRT_LOG__LEVEL",
            "loud",
            "environment variable AGENTRT_LOG__LEVEL: expected one of debug, info, warning, error, got 'loud'",
        ),
        (
            "AGENTRT_LOG__LEVLE",
            "info",
            "environment variable AGENTRT_LOG__LEVLE is not a setting of agentrt (did you mean 'AGENTRT_LOG__LEVEL'?)",
        ),
        (
            "AGENTRT_LOG",
            "debug",
            "environment variable AGENTRT_LOG is a group of settings: set its parts, such as AGENTRT_LOG__LEVEL",
        ),
        (
            "AGENTRT_MODULES",
            "console",
            "environment variable AGENTRT_MODULES is a group of settings: set its parts, such as AGENTRT_MODULES__NAME",
        ),
        (
            "AGENTRT_MODULES__CONSOLE",
            "maybe",
            "environment variable AGENTRT_MODULES__CONSOLE: expected true or false, got 'maybe'",
        ),
        ("AGENT_API_PORT", "web", "environment variable AGENT_API_PORT: expected a port from 0 to 65535, got 'web'"),
        (
            "AGENTRT_ADDR",
            "8080",
            "environment variable AGENTRT_ADDR: expected HOST:PORT, such as 127.0.0.1:8080 or :8080, got '8080'",
        ),
        ("AGENTRT_ADDR", "localhost:99999", "environment variable AGENTRT_ADDR: expected a port from 0 to 65535, got '99999'"),
        (
            "SESSION_TIMEOUT_SECONDS",
            "-1",
            "environment variable SESSION_TIMEOUT_SECONDS: expected a number, more than 0, got '-1'",
        ),
        (
            "MCP_SERVER_URL",
            "localhost:9000",
            "environment variable MCP_SERVER_URL: expected an address that begins with http:// or https://, got 'localhost:9000'",
        ),
    ],
)
def test_a_variable(load, variable, value, sentence):
    assert refused(load, **{variable: value}) == sentence
    assert refused(load, dotenv=f"{variable}={value}\n") == sentence.replace("environment variable", ".env:", 1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\n", "agentrt.yaml:1:1: unknown setting 'a'"),
        ("addr: :1\nmodles:\n  x: true\n", "agentrt.yaml:2:1: unknown setting 'modles' (did you mean 'modules'?)"),
        ("log:\n  levle: info\n", "agentrt.yaml:2:3: unknown setting 'log.levle' (did you mean 'level'?)"),
        ("log:\n  level: 5\n", "agentrt.yaml:2:10: log.level: expected one of debug, info, warning, error, got 5"),
        ("max_active_runs: '5'\n", "agentrt.yaml:1:18: max_active_runs: expected a whole number, at least 1, got '5'"),
        ("addr: 8080\n", "agentrt.yaml:1:7: addr: expected text, got 8080"),
        ("addr:\n", "agentrt.yaml:1:6: addr: expected text, got nothing"),
        ("modules: mcp\n", "agentrt.yaml:1:10: expected a mapping of settings"),
        ("- a\n", "agentrt.yaml:1:1: expected a mapping of settings"),
        ("addr: ':1'\naddr: ':2'\n", "agentrt.yaml:2:1: 'addr' is written twice"),
        ("allowed_hosts: a\n", "agentrt.yaml:1:16: allowed_hosts: expected a list of texts, got 'a'"),
        ("addr: [\n", "agentrt.yaml:2:1: did not find expected node content"),
        ("env: {A: b}\n", "agentrt.yaml:1:1: unknown setting 'env'"),
    ],
)
def test_the_settings_file(load, text, sentence):
    assert refused(load, yaml=text) == sentence


def test_a_file_that_is_not_text_or_not_there(load, tmp_path):
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    assert refused(load, AGENTRT_CONFIG_FILE="bad.yaml") == "bad.yaml cannot be read: it is not UTF-8"
    assert refused(load, AGENTRT_CONFIG_FILE="none.yaml") == f"the settings file {tmp_path}/none.yaml does not exist"
    assert refused(load, flags={"config": "none"}) == f"--config: {tmp_path}/none does not exist"
    assert refused(load, flags={"mcp_config": "none"}) == f"--mcp-config: {tmp_path}/none does not exist"
    assert refused(load, AGENTRT_CONFIG="none") == f"environment variable AGENTRT_CONFIG: {tmp_path}/none does not exist"
    assert refused(load, yaml="offline_rules: none\n") == f"agentrt.yaml:1:16: {tmp_path}/none does not exist"
    (tmp_path / "agentrt.yaml").unlink()
    (tmp_path / ".env").write_bytes(b"A=\xff\n")
    assert refused(load) == ".env cannot be read: it is not UTF-8"


def test_a_home_that_nobody_has(load, tmp_path):
    gone = "~nobody-of-this-name/x: the home ~nobody-of-this-name is not known"
    assert refused(load, flags={"data_dir": "~nobody-of-this-name/x"}) == f"--data-dir: {gone}"
    assert refused(load, AGENTRT_CONFIG_FILE="~nobody-of-this-name/x") == f"the settings file {gone}"
    assert refused(load, DATABASE_URL="sqlite:///~nobody-of-this-name/x") == f"environment variable DATABASE_URL: {gone}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_this_user_may_not_look_into(load, tmp_path):
    folder = Path(tempfile.mkdtemp())
    hidden = folder / "hidden"
    (hidden / "agents").mkdir(parents=True, mode=0o700)
    hidden.chmod(0o700)
    folder.chmod(0o755)
    try:
        with as_nobody():
            for name in ("settings", "config", "mcp_config", "skills"):
                with pytest.raises(SettingsInvalid, match=f"{hidden}/agents cannot be read: permission denied$"):
                    load_settings({name: f"{hidden}/agents"}, {}, folder)
            with pytest.raises(SettingsInvalid, match=f"{hidden}/.env cannot be read: permission denied$"):
                load_settings({}, {}, hidden)
    finally:
        shutil.rmtree(folder)


def test_an_origin_is_more_than_a_name(load):
    assert load(AGENTRT_ALLOWED_ORIGINS="http://localhost:3000, tauri://localhost").allowed_origins == (
        "http://localhost:3000",
        "tauri://localhost",
    )
    sentence = "expected origins such as http://localhost:3000, got 'localhost:3000'"
    assert (
        refused(load, AGENTRT_ALLOWED_ORIGINS="*,localhost:3000") == f"environment variable AGENTRT_ALLOWED_ORIGINS: {sentence}"
    )
    assert refused(load, yaml="allowed_origins: ['localhost:3000']\n") == f"agentrt.yaml:1:18: {sentence}"


def test_a_flag(load):
    assert refused(load, flags={"addr": "nonsense:x"}) == "--addr: expected a port from 0 to 65535, got 'x'"


def test_a_reference_in_dotenv_to_what_is_not_set(load):
    assert refused(load, dotenv="A=${NOWHERE}\n") == ".env: A: the environment variable NOWHERE is not set"
