"""What keeps a server from starting: one sentence that says what to do, on stderr, exit code 1 (2 where a setting is wrong)."""

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys

import asyncpg
import pytest

from fixtures.postgres import free_port


@pytest.fixture
def refused(tmp_path):
    """Starts a server that cannot start: (exit code, what it said)."""

    def start(*args: str, **env: str) -> tuple[int, str]:
        clean = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        ended = subprocess.run(
            [sys.executable, "-m", "agentrt", "serve", *args],
            cwd=tmp_path,
            env={**clean, "HOME": str(tmp_path), "AGENTRT_DATA_DIR": str(tmp_path / "data"), **env},
            capture_output=True,
            text=True,
            timeout=20,
        )
        said = ended.stdout + ended.stderr
        assert "Traceback" not in said and "Error: " in ended.stderr and "listens on" not in said, said
        (line,) = [line for line in ended.stderr.splitlines() if line.startswith("Error: ")]
        return ended.returncode, line

    return start


@pytest.fixture
def addr():
    return ("--addr", f"127.0.0.1:{free_port()}")


def test_a_port_in_use(refused):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, said = refused("--addr", f"127.0.0.1:{taken.getsockname()[1]}")
    assert code == 1 and "in use" in said and "agentrt serve --addr" in said


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://nobody:secret@127.0.0.1:9/agentrt", "cannot be reached"),
        ("mysql://root@localhost/x", "mysql"),
        ("not a url", "database_url"),
    ],
)
def test_a_database_that_is_not_there(refused, addr, url, words):
    code, said = refused(*addr, DATABASE_URL=url)
    assert code in (1, 2) and words.lower() in said.lower() and "secret" not in said


def test_a_database_of_somebody_else_on_sqlite(refused, addr, tmp_path):
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "agentrt.db"
    with sqlite3.connect(file) as conn:
        conn.execute("CREATE TABLE invoices (id INTEGER)")
    conn.close()
    code, said = refused(*addr)
    assert code == 1 and "tables" in said
    with sqlite3.connect(file) as conn:
        assert conn.execute("SELECT name FROM sqlite_master").fetchall() == [("invoices",)], "it was left alone"
    conn.close()


def test_a_database_of_somebody_else_on_postgresql(refused, addr, postgres_url):
    async def create() -> None:
        conn = await asyncpg.connect(postgres_url)
        await conn.execute("CREATE TABLE invoices (id INTEGER)")
        await conn.close()

    asyncio.run(create())
    code, said = refused(*addr, DATABASE_URL=postgres_url)
    assert code == 1 and "tables" in said


def test_a_file_that_is_no_database(refused, addr, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "agentrt.db").write_bytes(b"this is no database" * 200)
    code, said = refused(*addr)
    assert code == 1 and "not a database" in said


def test_a_data_folder_that_cannot_be(refused, addr, tmp_path):
    (tmp_path / "data").write_text("a file")
    code, said = refused(*addr)
    assert code == 1 and "folder" in said


def test_a_database_that_another_server_holds(refused, addr, serve):
    with serve(AGENTRT_MODULES__MCP_REGISTRY="false") as first:
        code, said = refused(*addr)
        assert code == 1 and str(first.pid) in said and "data folder" in said


def test_a_database_that_another_server_holds_on_postgresql(refused, addr, serve, postgres_url):
    with serve(AGENTRT_MODULES__MCP_REGISTRY="false", DATABASE_URL=postgres_url):
        code, said = refused(*addr, DATABASE_URL=postgres_url)
        assert code == 1 and "another agentrt" in said


def test_a_file_that_is_named_but_not_there(refused, addr, tmp_path):
    for flag in ("--config", "--mcp-config"):
        code, said = refused(*addr, flag, str(tmp_path / "nowhere.yaml"))
        assert code in (1, 2) and "nowhere.yaml" in said, (flag, said)


@pytest.mark.parametrize(
    ("env", "args", "words"),
    [
        ({"AGENTRT_MAX_ACTIVE_RUNS": "many"}, (), "AGENTRT_MAX_ACTIVE_RUNS"),
        ({"AGENTRT_MAX_ACTIVE_RUN": "5"}, (), "did you mean"),
        ({}, ("--addr", "127.0.0.1:99999"), "99999"),
        ({}, ("--addr", "0.0.0.0:0"), "--allow-unauthenticated"),
    ],
)
def test_a_setting_that_cannot_be(refused, addr, env, args, words):
    code, said = refused(*(args or addr), **env)
    assert code in (1, 2) and words in said
