"""The Python packages of an image, resolved outside it for its Python: by the pip of this machine, with its own settings."""

import asyncio
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import ImageNotBuilt
from .commands import CommandFailed, run

INSIDE = "/opt/sandbox/site"
PIP_S = 1200.0
# What Debian 12 has, the oldest that is used: wheels for newer ones would not load there.
GLIBC_MINOR = 36
_TESTS = frozenset({"tests", "test"})
_UNREACHABLE = re.compile(
    r"connection (to|broken|aborted)|NewConnectionError|ConnectTimeout|ReadTimeout|name resolution|Max retries|ProxyError"
    r"|Network is unreachable|tls|certificate verify failed|error sending request|dns error",
    re.IGNORECASE,
)
_NOT_FOUND = (
    re.compile(r"No matching distribution found for (\S+)"),
    re.compile(r"Because (\S+) was not found in the package registry"),
    re.compile(r"Because there (?:are|is) no versions? of (\S+)"),
)
_CONFLICT = re.compile(r"ResolutionImpossible|conflicting dependencies|unsatisfiable")


async def packed_site(cache: Path, packages: Sequence[str], *, python: str, machine: str, say: Callable[[str], None]) -> Path:
    """A tar file with `packages` and what they need, without their tests, for CPython `python` (such as 3.12) on Linux on
    `machine` (such as x86_64); made once. ImageNotBuilt names the package that is not there, or what kept pip from working."""
    out = cache / f"site-{_key(packages, python, machine)}.tar"
    if out.is_file():
        return out
    say(f"packages for Python {python}: {' '.join(packages)}")
    target = cache / f"site-{python}.part"
    shutil.rmtree(target, ignore_errors=True)
    try:
        await _install(await installer(cache), target, packages, python, machine)
        await asyncio.to_thread(_drop_what_nobody_imports, target)
        await _compile(target, python)
        await pack(out, await asyncio.to_thread(contents, target))
    finally:
        await asyncio.to_thread(shutil.rmtree, target, True)
    return out


async def pack(out: Path, members: Sequence[tuple[str, str]]) -> None:
    """Write a tar file by the program in pack.py."""
    program = Path(__file__).with_name("pack.py")
    await run([sys.executable, "-I", "-S", program, out], timeout_s=600, stdin=json.dumps(members).encode())


def contents(folder: Path) -> list[tuple[str, str]]:
    """Everything in a folder, as `pack` takes it."""
    return [(f"{path.relative_to(folder)}", f"{path}") for path in sorted(folder.rglob("*"))]


def _key(packages: Sequence[str], python: str, machine: str) -> str:
    return hashlib.sha256("\n".join((python, machine, *packages)).encode()).hexdigest()[:12]


async def installer(cache: Path) -> list[str]:
    """How to call pip: this Python's, else one that its standard library brings (in an environment of its own), else uv."""
    own = cache / "pip" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    for python in (sys.executable, str(own)):
        if shutil.which(python) and await _has_pip(python):
            return [python, "-m", "pip"]
    try:
        await run([sys.executable, "-m", "venv", "--clear", cache / "pip"], timeout_s=120)
        return [str(own), "-m", "pip"]
    except CommandFailed:
        shutil.rmtree(cache / "pip", ignore_errors=True)
    if uv := shutil.which("uv"):
        return [uv, "pip"]
    raise ImageNotBuilt("this Python has no pip, which resolves the packages of the image: install python3-venv, or uv")


async def _has_pip(python: str) -> bool:
    try:
        await run([python, "-m", "pip", "--version"], timeout_s=60)
    except CommandFailed:
        return False
    return True


async def _install(pip: Sequence[str], target: Path, packages: Sequence[str], python: str, machine: str) -> None:
    if pip[-2] == "-m":
        platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC_MINOR, 4, -1)]
        platforms += [f"{name}_{machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1", "linux")]
        which = ["--implementation", "cp", *(word for name in platforms for word in ("--platform", name))]
        which += ["--no-compile", "--no-user", "--disable-pip-version-check", "--only-binary=:all:"]
    else:
        which = ["--python-platform", f"{machine}-manylinux_2_{GLIBC_MINOR}", "--only-binary", ":all:"]
    command = [*pip, "install", "--quiet", "--target", str(target), "--python-version", python, *which, *packages]
    try:
        await run(command, timeout_s=PIP_S, cwd=target.parent)
    except CommandFailed as exc:
        raise ImageNotBuilt(_why(exc.said, python)) from exc


def _why(said: str, python: str) -> str:
    """What pip or uv complains of, as a sentence."""
    if _UNREACHABLE.search(said):
        return "pip cannot reach its package index: check the network and pip's settings (`pip config list`)"
    for pattern in _NOT_FOUND:
        if found := pattern.search(said):
            return (
                f"pip finds no package {found[1]} for Python {python} without compiling: "
                "correct containers.packages in the settings"
            )
    if _CONFLICT.search(said):
        return "the packages do not go together: correct containers.packages in the settings"
    lines = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.strip()]
    return f"pip failed: {lines[-1] if lines else 'it does not say why'}"


def _drop_what_nobody_imports(site: Path) -> None:
    """Test folders are a fifth of it; programs have the path of this machine's Python in their first line."""
    for folder in sorted(site.rglob("*"), reverse=True):
        if folder.name in _TESTS and folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
    shutil.rmtree(site / "bin", ignore_errors=True)


async def _compile(site: Path, python: str) -> None:
    """Compile once for every engine, where this machine has the same Python; else it is done inside, each time."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}" == python and sys.implementation.name == "cpython"
    interpreter = sys.executable if here else shutil.which(f"python{python}")
    if interpreter is None:
        return
    command = [interpreter, "-I", "-m", "compileall", "-qq", "-j", "0", "-s", str(site), "-p", INSIDE, str(site)]
    try:
        await run(command, timeout_s=600)
    except CommandFailed:
        return  # some packages hold files that are not for this Python
