from pathlib import Path

import pytest

from agentrt.settings import SettingsInvalid, load_settings, make_data_folder


def test_with_nothing_said_it_listens_on_loopback_and_keeps_an_embedded_database_in_its_folder(load, tmp_path):
    settings = load()
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.database_url == f"sqlite+aiosqlite:///{tmp_path}/data/agentrt.db"
    assert (settings.max_active_runs, settings.max_body_bytes, settings.shutdown_grace_s) == (200, 32_000_000, 5.0)
    assert settings.default_agent == "default"
    assert settings.enabled("mcp_registry")


def test_flags_beat_the_environment_beats_dotenv_beats_the_file_beats_the_default(load):
    says = {"yaml": "default_agent: from-file\n", "dotenv": "AGENT_NAME=from-dotenv\n"}
    assert load(yaml=says["yaml"]).default_agent == "from-file"
    assert load(**says).default_agent == "from-dotenv"
    assert load(**says, AGENT_NAME="from-environment").default_agent == "from-environment"
    flags = {"default_agent": "from-flag"}
    assert load(**says, AGENT_NAME="from-environment", flags=flags).default_agent == "from-flag"


def test_our_own_name_beats_the_inherited_one_of_the_same_source(load):
    assert load(AGENT_NAME="old", AGENTRT_DEFAULT_AGENT="new").default_agent == "new"
    assert load(dotenv="AGENTRT_DEFAULT_AGENT=new\n", AGENT_NAME="old").default_agent == "old"


def test_host_and_port_may_come_from_different_sources(load):
    assert load(yaml="addr: localhost:9000\n", AGENT_API_PORT="9100").addr == "localhost:9100"
    assert load(yaml="addr: localhost:9000\n", AGENT_API_HOST="127.0.0.2").addr == "127.0.0.2:9000"
    assert load(AGENT_API_HOST="::1", AGENT_API_PORT="1").addr == "[::1]:1"
    assert load(AGENT_API_PORT="1", flags={"addr": ":2"}).addr == "0.0.0.0:2"


def test_nested_settings_are_joined_over_all_sources(load):
    settings = load(
        yaml="modules: {mcp_registry: false, console: true}\nproviders:\n  vllm: {base_url: http://127.0.0.1:1, timeout_s: 3}\n",
        dotenv="AGENTRT_MODULES__CONSOLE=off\n",
        AGENTRT_PROVIDERS__VLLM__API_KEY="123",
        AGENTRT_LOG__LEVEL="debug",
    )
    assert settings.modules == {"mcp_registry": False, "console": False}
    assert not settings.enabled("console")
    assert settings.providers == {"vllm": {"base_url": "http://127.0.0.1:1", "timeout_s": 3, "api_key": "123"}}
    assert (settings.log.level, settings.log.format) == ("debug", "auto")


def test_every_inherited_name_is_honoured(load):
    settings = load(
        AGENT_API_HOST="localhost",
        AGENT_API_PORT="9001",
        AGENT_NAME="helper",
        DATABASE_URL="postgres://me:secret@db.local/agents",
        DEFAULT_MODEL="openai/gpt-4o",
        DOCKER_HOST="unix:///run/user/1000/docker.sock",
        MCP_SERVER_URL="http://127.0.0.1:9/mcp",
        SESSION_TIMEOUT_SECONDS="60",
    )
    assert settings.addr == "localhost:9001"
    assert settings.default_agent == "helper"
    assert settings.database_url == "postgresql+asyncpg://me:secret@db.local/agents"
    assert settings.default_model == "openai/gpt-4o"
    assert settings.mcp_server_url == "http://127.0.0.1:9/mcp"
    assert settings.session_timeout_s == 60
    assert settings.containers == {"docker_url": "unix:///run/user/1000/docker.sock"}


def test_an_empty_variable_is_not_set_and_hides_what_dotenv_says(load):
    settings = load(dotenv="AGENTRT_ADDR=localhost:1\nOPENAI_API_KEY=sk-dotenv\n", AGENTRT_ADDR="", OPENAI_API_KEY="")
    assert settings.addr == "127.0.0.1:8080"
    assert settings.env["OPENAI_API_KEY"] == ""


def test_modules_get_the_environment_over_dotenv_whose_references_are_filled_in(load):
    settings = load(dotenv="BASE=http://a\nOPENAI_BASE_URL=${BASE}/${V:-v1}\nOTHER=${HOME}\n", HOME="/home/x", BASE="http://b")
    assert settings.env["OPENAI_BASE_URL"] == "http://b/v1"
    assert settings.env["OTHER"] == "/home/x"


def test_a_secret_may_stand_in_a_file(load, tmp_path):
    (tmp_path / "url").write_text("postgres://db/agents\n")
    assert load(DATABASE_URL_FILE=str(tmp_path / "url")).database_url == "postgresql+asyncpg://db/agents"
    assert load(AGENTRT_DATABASE_URL_FILE=str(tmp_path / "url")).database_url == "postgresql+asyncpg://db/agents"
    settings = load(dotenv="OPENAI_API_KEY=sk-old\n", OPENAI_API_KEY_FILE=str(tmp_path / "url"))
    assert "OPENAI_API_KEY" not in settings.env


def test_the_settings_file_may_be_elsewhere_and_its_paths_are_counted_from_it(load, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "rules").mkdir()
    (tmp_path / "etc" / "my.yaml").write_text("offline_rules: rules\n")
    assert load(AGENTRT_CONFIG_FILE="etc/my.yaml").offline_rules == tmp_path / "etc" / "rules"
    assert load(flags={"settings": "etc/my.yaml"}).sources == (tmp_path / "etc" / "my.yaml",)


def test_the_agents_of_the_folder_beat_those_that_come_with_agentrt(load, tmp_path):
    assert load().config != tmp_path / "configs" / "agents"
    (tmp_path / "configs" / "agents").mkdir(parents=True)
    assert load().config == tmp_path / "configs" / "agents"
    (tmp_path / "one.yaml").touch()
    assert load(flags={"config": "one.yaml"}).config == tmp_path / "one.yaml"


def test_without_a_data_folder_the_users_own_is_taken(tmp_path):
    settings = load_settings({}, {}, tmp_path)
    assert settings.data_dir.name == "agentrt"
    assert settings.data_dir.is_absolute()


def test_beside_the_data_of_make_run_commands_mean_that_data(tmp_path):
    (tmp_path / "data").mkdir()
    assert load_settings({}, {}, tmp_path).data_dir != tmp_path / "data", "somebody else's folder"
    (tmp_path / "data" / "agentrt.db").touch()
    settings = load_settings({}, {}, tmp_path)
    assert settings.data_dir == tmp_path / "data"
    assert settings.database_url == f"sqlite+aiosqlite:///{tmp_path}/data/agentrt.db"
    assert load_settings({}, {"AGENTRT_DATA_DIR": "other"}, tmp_path).data_dir == tmp_path / "other"


def test_a_new_data_folder_is_its_owner_s_alone_and_one_that_is_there_stays_as_it_is(tmp_path):
    make_data_folder(tmp_path / "new")
    (tmp_path / "shared").mkdir(mode=0o755)
    make_data_folder(tmp_path / "shared")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("new", "shared")] == [0o700, 0o755]


def test_a_repr_shows_no_secret(load):
    settings = load(DATABASE_URL="postgres://me:hunter2@db/agents?ssl=require", OPENAI_API_KEY="sk-hunter2")
    assert "hunter2" not in repr(settings)
    assert settings.shown_database == "postgresql://me@db/agents"


def test_the_home_folder_may_be_written_as_a_tilde(load):
    assert load(flags={"data_dir": "~/somewhere"}).data_dir == Path.home() / "somewhere"


def test_an_unreadable_secret_file_is_refused_at_once(load):
    with pytest.raises(SettingsInvalid, match="OPENAI_API_KEY_FILE names a file that cannot be read: No such file"):
        load(OPENAI_API_KEY_FILE="/nowhere/key")
