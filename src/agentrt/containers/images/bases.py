"""Bases that need no registry: tar files of a small system with Python, made from this machine or by its package manager."""

import asyncio
import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from .commands import CommandFailed, run
from .site import contents, pack

# Python, a shell, and the programs that scripts take for granted.
PROGRAMS = (
    *("python3", "bash", "dash", "coreutils", "grep", "sed", "findutils", "mawk", "diffutils", "tar", "gzip", "bzip2"),
    *("xz-utils", "procps", "util-linux", "hostname", "base-files", "base-passwd", "libc-bin"),
    # wheels leave these to the system
    *("libstdc++6", "libgomp1"),
)
# What their packages depend on, and a sandbox has no use for.
_LEFT_OUT = {
    *("apt", "debconf", "dpkg", "init-system-helpers", "media-types", "perl", "perl-base", "sensible-utils", "systemd"),
    *("sysvinit-utils", "tzdata", "ucf"),
}
_UNWANTED = re.compile(
    r"/(usr/share/(man|doc|doc-base|locale|info|lintian|bug|bash-completion|zsh|vim|menu|pixmaps|applications)"
    r"|usr/lib/systemd|lib/systemd|lib/udev|lib/modules|usr/include|var|boot"
    r"|etc/(?!ld\.so|alternatives|debian_version|os-release|protocols|services))(/|$)"
)
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_EMPTY = ("tmp", "root", "home", "dev", "proc", "sys", "run", "var", "var/tmp", "etc", "mnt", "opt", "srv", "usr/local/bin")
_DEBOOTSTRAP_S = 1200.0
_NOT_KEPT = re.compile(r"usr/share/(man|doc|locale|info|lintian)/|var/(lib/apt|cache|log)/|etc/apt/|boot/|dev/|proc/|sys/|tmp/")
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
_LINKS = {"usr/bin/awk": "mawk", "usr/bin/sh": "dash"}


class BaseTar(msgspec.Struct, frozen=True):
    """A root in a tar file. `name` says what it is made of, and changes with it; `python` is the version in it, such as 3.11."""

    name: str
    python: str
    machine: str
    tar: Path


class Unsuited(Exception):
    """This base cannot be made here; the message says why."""


async def machine_base(cache: Path, say: Callable[[str], None]) -> BaseTar:
    """A base of this machine's own Debian packages: nothing is downloaded. Unsuited on other systems."""
    python = await system_python()
    packages = await _closure()
    key = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    out = cache / f"base-host-{key}.tar"
    if not out.is_file():
        say(f"base: a copy of {len(packages)} packages of this machine, with Python {python}")
        listed = await run(["dpkg-query", "-L", *(package.split("=")[0] for package in packages)], timeout_s=60)
        with tempfile.TemporaryDirectory(dir=cache, prefix="base-", suffix=".part") as folder:
            await pack(out, await asyncio.to_thread(lambda: list(_members(listed.splitlines(), Path(folder)))))
    return BaseTar(f"host-{key}", python, platform.machine(), out)


async def debootstrap_base(cache: Path, say: Callable[[str], None]) -> BaseTar:
    """A base by mmdebstrap or debootstrap from this machine's own package sources. Unsuited without them, or not as root."""
    tool = shutil.which("mmdebstrap") or shutil.which("debootstrap")
    if tool is None or not shutil.which("apt-get"):
        raise Unsuited("neither mmdebstrap nor debootstrap is installed")
    if os.geteuid() != 0:
        raise Unsuited(f"{Path(tool).name} needs root")
    python, suite = await system_python(), _suite()
    out = cache / f"base-{suite}-{platform.machine()}.tar"
    if not out.is_file():
        say(f"base: Debian {suite} by {Path(tool).name}, from this machine's package sources; this takes a minute or two")
        with tempfile.TemporaryDirectory(dir=cache, prefix="base-", suffix=".part") as folder:
            root = Path(folder) / "root"
            await _bootstrap(tool, suite, root)
            found = await asyncio.to_thread(contents, root)
            kept = {name: path for name, path in found if not _NOT_KEPT.match(name)}
            await pack(out, sorted((dict.fromkeys(_EMPTY, "") | kept).items()))
    return BaseTar(f"{suite}-{platform.machine()}", python, platform.machine(), out)


async def system_python() -> str:
    """The version of Debian's own Python here, such as 3.11. Unsuited where there is none, or an old one."""
    if not shutil.which("dpkg-query") or not (python := shutil.which("python3", path="/usr/bin")):
        raise Unsuited("this is no Debian with its own python3")
    said = await run([python, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], timeout_s=30)
    if tuple(map(int, said.split("."))) < (3, 11):
        raise Unsuited(f"Python {said.strip()} of this machine is too old: 3.11 is needed")
    return said.strip()


async def _closure() -> list[str]:
    """The installed packages that PROGRAMS need, themselves included, as `name:architecture=version`."""
    fields = "${Package}\t${Architecture}\t${db:Status-Status}\t${Version}\t${Pre-Depends},${Depends}\t${Provides}\n"
    rows = [line.split("\t") for line in (await run(["dpkg-query", "-W", f"-f={fields}"], timeout_s=60)).splitlines()]
    installed = {row[0]: row for row in rows if row[2] == "installed"}
    provider = {name.split()[0]: row[0] for row in installed.values() for name in row[5].split(",") if name.strip()}
    found: dict[str, str] = {}
    front = list(PROGRAMS)
    while front:
        name = front.pop()
        name = name if name in installed else provider.get(name, "")
        if not name or name in _LEFT_OUT or name in found:
            continue
        _, machine, _, version, depends, _ = installed[name]
        found[name] = f"{name}{'' if machine == 'all' else f':{machine}'}={version}"
        front += [_chosen(wish, installed, provider) for wish in depends.split(",")]
    if "python3" not in found:
        raise Unsuited("the package python3 is not installed")
    return sorted(found.values())


def _chosen(wish: str, installed: dict[str, list[str]], provider: dict[str, str]) -> str:
    """The one of the alternatives `a (>= 1) | b` that is installed."""
    names = [alternative.split("(")[0].split(":")[0].strip() for alternative in wish.split("|")]
    return next((name for name in names if name in installed or name in provider), "")


def _members(listed: list[str], folder: Path) -> Iterator[tuple[str, str]]:
    """What goes into the tar file: the packages' files, and what is our own, written into `folder`."""
    merged = [name for name in _MERGED if os.path.islink(f"/{name}")]
    yield from ((name, f"/{name}") for name in merged)
    members = _packaged(listed, merged) | dict.fromkeys(_EMPTY, "") | _own(folder)
    for name, path in sorted(members.items()):
        if not path or os.path.lexists(path):
            yield name, path
            yield from _bytecode(name, path)


def _packaged(listed: list[str], merged: Sequence[str]) -> dict[str, str]:
    """The files of the packages by the one name that they have where /bin is a link to /usr/bin."""
    found: dict[str, str] = {}
    for path in listed:
        top, _, rest = path.strip("/").partition("/")
        if path.startswith("/") and top and not _UNWANTED.match(path) and (rest or top not in merged):
            found[f"usr/{top}/{rest}" if top in merged else path.strip("/")] = path
    return found


def _own(folder: Path) -> dict[str, str]:
    """What packages make when they are installed, without what this machine made of it."""
    for name, text in _FILES.items():
        path = folder / Path(name).name
        path.write_text(text)
        path.chmod(0o644)
    for name, target in _LINKS.items():
        (folder / Path(name).name).symlink_to(target)
    return {name: str(folder / Path(name).name) for name in (*_FILES, *_LINKS)}


def _bytecode(name: str, path: str) -> Iterator[tuple[str, str]]:
    """What was compiled of a module when Debian installed it: no package lists it."""
    if name.startswith("usr/lib/python3") and name.endswith(".py"):
        for compiled in (Path(path).parent / "__pycache__").glob(f"{Path(path).stem}.cpython-*.pyc"):
            if compiled.name.count(".") == 2:
                yield f"{Path(name).parent}/__pycache__/{compiled.name}", str(compiled)


def _suite() -> str:
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    if not (suite := release.get("VERSION_CODENAME", "").strip('"')):
        raise Unsuited("this system does not say which release of Debian it is")
    return suite


async def _bootstrap(tool: str, suite: str, root: Path) -> None:
    wanted = "$(SITE)\t$(RELEASE)"
    targets = await run(["apt-get", "indextargets", "--format", wanted, "Created-By: Packages"], timeout_s=60)
    mirror = next((site for site, _, release in (line.partition("\t") for line in targets.splitlines()) if release == suite), "")
    if not mirror:
        raise Unsuited(f"apt has no package source for {suite}")
    options = ["--variant=minbase", f"--include={','.join(PROGRAMS)}"]
    try:
        await run([tool, *options, suite, root, mirror], timeout_s=_DEBOOTSTRAP_S)
    except CommandFailed as exc:
        raise Unsuited(
            f"{Path(tool).name} failed: {exc.said.strip().splitlines()[-1] if exc.said.strip() else 'it does not say why'}"
        ) from exc
