"""What `agentrt doctor` looks at, without a server and without changing anything."""

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Literal

import msgspec

from agentrt.kernel import AgentrtError, Invalid, lookup
from agentrt.settings import Settings, exposure

from .client import Server, Silent
from .terminal import counted

Verdict = Literal["ok", "note", "warn", "fail"]

PROBE_S = 5.0
SCARCE, TOO_LITTLE = 1_000_000_000, 50_000_000
OLDEST = (3, 11)
ELSEWHERE = "stop what listens there, or name another address: agentrt serve --addr 127.0.0.1:8081"


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing looked at. `fail`: agentrt does not work; `warn`: a part of it does not; `note`: worth knowing."""

    name: str
    verdict: Verdict
    detail: str
    todo: str = ""


def python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST:
        return Check("python", "fail", version, f"install Python {'.'.join(map(str, OLDEST))} or newer")
    return Check("python", "ok", version)


def sources(settings: Settings) -> Check:
    read = ", ".join(str(path) for path in settings.sources)
    return Check(
        "settings", "ok", f"from the environment and {read}" if read else "from the environment; no .env, no agentrt.yaml"
    )


def data_folder(settings: Settings) -> Check:
    """Whether the data folder, or the first parent that exists, can be written, and how much room there is."""
    folder = settings.data_dir
    there = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not os.path.isdir(there):
        return Check("data folder", "fail", f"{there} is not a folder", "name another one with --data-dir")
    if not os.access(there, os.W_OK | os.X_OK):
        return Check("data folder", "fail", f"{there} cannot be written", "name another one with --data-dir")
    free = shutil.disk_usage(there).free
    detail = f"{folder}{'' if there == folder else ' (made at the first start)'}, {free / 1e9:.1f} GB free"
    if free < TOO_LITTLE:
        return Check("data folder", "fail", detail, "make room on this disk")
    return Check("data folder", "warn" if free < SCARCE else "ok", detail, "make room on this disk" if free < SCARCE else "")


def address(settings: Settings, server: Server, health: dict[str, Any] | None) -> Check:
    """Whether the address is free, agentrt's, or somebody else's."""
    if health is not None:
        return Check("address", "ok", f"agentrt {health.get('version', '')} answers at {server.url}: {health.get('status')}")
    try:
        warning = exposure(settings.host, settings.addr, allowed=settings.allow_unauthenticated)
    except AgentrtError as exc:
        return Check("address", "fail", exc.message)
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as exc:
        return Check("address", "fail", f"{settings.addr}: {exc.strerror}", ELSEWHERE)
    if warning:
        return Check("address", "warn", warning)
    return Check("address", "ok", f"{settings.addr} is free; no server is running", "start one: agentrt serve")


def running(server: Server) -> tuple[dict[str, Any] | None, Check | None]:
    """The running server's health, or a check that says what answers instead of it."""
    try:
        return server.health(), None
    except Silent as exc:
        return None, Check("address", "fail", exc.message, ELSEWHERE)


async def database(settings: Settings) -> Check:
    """Whether the database answers. An embedded one that is not there yet is fine."""
    if not_yet_made(settings):
        return Check("database", "ok", f"{settings.shown_database} (made at the first start)")
    from sqlalchemy import text

    from agentrt.db import Database

    opened = Database(settings.database_url)
    try:
        async with asyncio.timeout(PROBE_S), opened.read() as connection:
            await connection.execute(text("SELECT 1"))
    except (AgentrtError, TimeoutError) as exc:
        why = exc.message if isinstance(exc, AgentrtError) else f"no answer in {PROBE_S:.0f} s"
        return Check("database", "fail", f"{settings.shown_database}: {why}", "start it, or correct DATABASE_URL")
    finally:
        await opened.close()
    return Check("database", "ok", settings.shown_database)


def not_yet_made(settings: Settings) -> bool:
    """Whether the database is an embedded one whose file the first start will make."""
    return settings.database_url.startswith("sqlite") and not os.path.exists(settings.database_url.partition(":///")[2])


def providers(settings: Settings) -> Iterator[Check]:
    """Which model providers are configured: names of variables, never their values."""
    from agentrt.configs import fit
    from agentrt.providers import HOW_TO_CONFIGURE, ProviderEntry, entries_from, own_wires

    try:
        entries = entries_from(settings.env, fit(own_wires(settings.providers), dict[str, ProviderEntry], "providers"))
    except Invalid as exc:
        yield Check("providers", "fail", exc.message, "correct agentrt.yaml or AGENTRT_PROVIDERS__…")
        return
    wanted = {name: entry for name, entry in entries.items() if entry.configured and entry.wire != "offline"}
    for name, entry in wanted.items():
        yield Check(f"provider {name}", "ok", _how(entry, settings))
    if not wanted:
        said = "none is configured: the embedded offline model answers, unless an Ollama runs at its usual address"
        yield Check("providers", "note", said, HOW_TO_CONFIGURE)


def _how(entry: Any, settings: Settings) -> str:
    shown = [f"at {entry.url}"] if entry.base_url else []
    names = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY")
    key = next((name for name in names if entry.api_key and lookup(settings.env, name) == entry.api_key), None)
    if entry.api_key:
        shown.append(f"key from {key}" if key else "key from the settings")
    return ", ".join(shown)


async def mcp_servers(settings: Settings, server: Server, health: dict[str, Any] | None) -> list[Check]:
    """Every MCP server: as the running server sees it, else whether it could be reached from here."""
    if not settings.enabled("mcp_registry"):
        return [Check("mcp", "note", "switched off (modules: mcp_registry)")]
    if health is not None:
        return [_seen(one) for one in server.get("/mcp-servers")["data"]]
    from agentrt.configs import BadDocument
    from agentrt.mcp_registry import examine, servers_in

    from .documents import read_mcp_servers

    try:
        document = read_mcp_servers(settings.mcp_config)
    except BadDocument:
        return []  # the check of the file says what is wrong with it
    env = {**settings.env, **({"MCP_SERVER_URL": settings.mcp_server_url} if settings.mcp_server_url else {})}
    servers = servers_in(document, folder=settings.mcp_config.parent, env=env)
    found = await asyncio.gather(*(examine(spec, env) for spec in servers.values() if spec.on))
    names = [name for name, spec in servers.items() if spec.on]
    return [
        Check(f"mcp {name}", "warn", diagnosis.problem, diagnosis.suggestion)
        if diagnosis
        else Check(f"mcp {name}", "ok", "can be started" if servers[name].transport == "stdio" else "answers")
        for name, diagnosis in zip(names, found, strict=True)
    ]


def _seen(one: dict[str, Any]) -> Check:
    name, state = f"mcp {one['name']}", one["state"]
    if state == "connected":
        return Check(name, "ok", f"connected, {counted(len(one['tools']), 'tool')}")
    todo = one.get("suggestion") or ""
    detail = f"{state}: {one['last_error'].removesuffix(f'; {todo}')}" if one.get("last_error") else state
    return Check(name, "note" if state in {"disabled", "connecting"} else "warn", detail, todo)


def modules(health: dict[str, Any] | None) -> list[Check]:
    """The modules of the running server that are not well, and the optional ones that are not there."""
    found = []
    for name, module in ((health or {}).get("modules") or {}).items():
        if module.get("status") in {"failed", "degraded"} and name != "containers":
            found.append(Check(f"module {name}", "warn", f"{module['status']}: {module.get('detail')}"))
    absent = [name for name in ("console", "studio", "tenants") if find_spec(f"agentrt.{name}") is None]
    if absent:
        found.append(Check("modules", "note", f"not installed: {', '.join(absent)}"))
    return found
