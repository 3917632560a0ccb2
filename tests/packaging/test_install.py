"""What `make run` says to people whose machine lacks something."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which nothing was installed yet."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-dev.lock", "requirements-install.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(checkout: Path, *words: str, **env: str) -> list[str]:
    """What a person reads when `make` fails."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "GOAL"))}
    done = subprocess.run(
        ["make", *words], cwd=checkout, env={**inherited, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode != 0
    return [line for line in done.stdout.splitlines() if not line.startswith("make: ***")]


def python(folder: Path, script: str) -> str:
    """A stand-in for a Python; `script` sees its arguments as "$@"."""
    file = folder / "python3"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


def test_an_old_python_is_named_with_what_to_type(checkout: Path) -> None:
    old = python(checkout, 'test "$1" = --version && echo "Python 3.9.2"')
    assert make(checkout, "run", f"PYTHON={old}") == [
        "agentrt: Python 3.11 or newer is needed, and this is Python 3.9.2:"
        " install one, then type  make run PYTHON=/path/to/python3"
    ]


def test_a_missing_venv_module_is_named_with_what_to_type(checkout: Path) -> None:
    bare = python(checkout, f'case "$2" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"')
    said = make(checkout, "test", f"PYTHON={bare}")
    assert len(said) == 1
    assert said[0].startswith(("agentrt: Python's venv module is missing: type  apt-get install", f"agentrt: {bare} has no venv"))
    assert said[0].endswith(("then  make test", "make test PYTHON=/path/to/python3"))


def test_no_network_is_one_sentence(checkout: Path) -> None:
    said = make(checkout, "run", f"PYTHON={sys.executable}", UV_OFFLINE="1", PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert said[-1].startswith("agentrt: the packages could not be installed")
    assert said[-1].endswith("check the network or pip's settings, then type  make run")
    assert all(line.startswith("agentrt: ") for line in said)
