"""Packages are installed where the operator allows it, from the operator's own folder."""

import io
import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from fixtures.code_server import CodeServer, environment
from fixtures.postgres import free_port

AGENT = "name: default\nmodel: offline/offline\ntools: ['*']\nsession: {from: [user]}\nsandbox: {install: INSTALL}\n"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with one wheel, `greeting`."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    info = "greeting-1.0.dist-info"
    with zipfile.ZipFile(folder / "greeting-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("greeting.py", "def greet(): return 'hello from a wheel'\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return folder


def ask(server: Any, text: str) -> str:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="-", max_retries=0, timeout=60) as client:
        messages: Any = [{"role": "user", "content": text}]
        answer = client.chat.completions.create(model="default", user="ada", messages=messages)
    return answer.choices[0].message.content or ""


def install(*packages: str) -> str:
    return f"use install_package with {json.dumps({'packages': packages})}"


def configured(folder: Path, install: str) -> str:
    folder.mkdir()
    (folder / "default.yaml").write_text(AGENT.replace("INSTALL", install))
    return str(folder)


def test_a_package_is_installed_and_imported(serve_code: Any, wheels: Path, tmp_path: Path) -> None:
    env = {"AGENTRT_CONFIG": configured(tmp_path / "agents", "true"), "AGENTRT_CONTAINERS__WHEELS_DIR": str(wheels)}
    with serve_code(**env) as server:
        before = ask(server, "Execute this Python code: import greeting")
        assert "ModuleNotFoundError" in before
        installed = ask(server, install("greeting==1.0"))
        assert "failed" not in installed, installed
        assert "hello from a wheel" in ask(server, "Execute this Python code: import greeting; print(greeting.greet())")
        shell = "Run this shell command: python3 -c 'import greeting; print(greeting.greet())'"
        assert "hello from a wheel" in ask(server, shell)
        ask(server, "Run this shell command: echo mine > notes.txt")
        with server.client("ada") as http:
            (box,) = http.get("/sandboxes").json()["data"]
            packed = zipfile.ZipFile(io.BytesIO(http.get(f"/sandboxes/{box['id']}/zip").content))
        assert packed.namelist() == ["notes.txt"]
        assert "failed" in ask(server, install("nobody-has-this"))
        for bad in ("--index", "../evil", "https://example.com/x.whl", "a; touch b"):
            assert "names no package" in ask(server, install(bad))


def test_what_is_in_the_way_of_packages_keeps_no_tool_from_mending_it(serve_code: Any, wheels: Path, tmp_path: Path) -> None:
    env = {"AGENTRT_CONFIG": configured(tmp_path / "agents", "true"), "AGENTRT_CONTAINERS__WHEELS_DIR": str(wheels)}
    with serve_code(**env) as server, server.client("ada") as http:
        ask(server, "Run this shell command: rm -r .packages; touch .packages")
        (box,) = http.get("/sandboxes").json()["data"]
        assert http.post(f"/sandboxes/{box['id']}/release").status_code == 204
        assert "still works" in ask(server, "Run this shell command: echo still works")
        assert "deleted .packages" in ask(server, "use delete_file with " + json.dumps({"path": ".packages"}))
        assert "failed" not in ask(server, install("greeting"))


def test_an_installation_that_is_cut_off_leaves_nothing_behind(serve_code: Any, wheels: Path, tmp_path: Path) -> None:
    os.mkfifo(wheels / "stuck-1.0-py3-none-any.whl")
    env = {"AGENTRT_CONFIG": configured(tmp_path / "agents", "true"), "AGENTRT_CONTAINERS__WHEELS_DIR": str(wheels)}
    with serve_code(**env) as server, server.client("ada") as http:
        ask(server, "Run this shell command: true")
        (session,) = http.get("/sessions").json()["data"]
        run = http.post("/runs", json={"input": install("stuck"), "session_id": session["id"]}).json()
        with http.stream("GET", f"/runs/{run['id']}/events") as events:
            assert any("Processing" in line for line in events.iter_lines())
        assert http.post(f"/runs/{run['id']}/cancel").status_code == 200
        assert "[.packages]" in ask(server, "Run this shell command: echo [$(ls -A)]")


def test_where_it_is_not_allowed_the_tool_is_not_there(serve_code: Any, wheels: Path, tmp_path: Path) -> None:
    env = {"AGENTRT_CONFIG": configured(tmp_path / "agents", "false"), "AGENTRT_CONTAINERS__WHEELS_DIR": str(wheels)}
    with serve_code(**env) as server:
        assert "No tool called install_package" in ask(server, install("greeting"))


def test_a_folder_of_wheels_that_is_not_there_is_said(code_engine: str, tmp_path: Path) -> None:
    env = environment(code_engine, tmp_path) | {"AGENTRT_CONTAINERS__WHEELS_DIR": str(tmp_path / "gone")}
    server = CodeServer(tmp_path, (), env, free_port())
    try:
        server.wait_healthy()
        until = time.monotonic() + 50
        while (module := httpx2.get(f"{server.url}/health").json()["modules"]["containers"])["status"] == "starting":
            assert time.monotonic() < until
        assert module["detail"]["reason"] == "containers.wheels_dir of the settings names no folder"
        assert server.terminate(30) == 0, server.log
    finally:
        if server.process.poll() is None:
            server.kill()
