"""Packages are installed where the operator allows it, from the operator's own folder."""

import json
import zipfile
from pathlib import Path
from typing import Any

import openai
import pytest

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
        assert "failed" in ask(server, install("nobody-has-this"))
        for bad in ("--index", "../evil", "https://example.com/x.whl", "a; touch b"):
            assert "names no package" in ask(server, install(bad))


def test_where_it_is_not_allowed_the_tool_is_not_there(serve_code: Any, wheels: Path, tmp_path: Path) -> None:
    env = {"AGENTRT_CONFIG": configured(tmp_path / "agents", "false"), "AGENTRT_CONTAINERS__WHEELS_DIR": str(wheels)}
    with serve_code(**env) as server:
        assert "No tool called install_package" in ask(server, install("greeting"))
