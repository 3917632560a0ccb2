"""The load client: requests as fast as replies come, and what came of them."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from .process import OTHER_CORE, popen

HERE = Path(__file__).parent
BUILD = HERE / "build"


class Percentiles(msgspec.Struct):
    p50: float
    p90: float
    p99: float
    max: float


class Load(msgspec.Struct):
    """What came of one load: `ok` replies in `elapsed` seconds, `events` SSE events in them."""

    ok: int
    errors: int
    unfinished: int
    elapsed: float
    rate: float
    latency_ms: Percentiles | None = None
    events: int = 0
    event_rate: float = 0.0
    gap_ms: Percentiles | None = None


class LoadFailed(Exception):
    """Not every reply was right."""


def compile_tools() -> None:
    """Build the fake model and the load client; LoadFailed where there is no C compiler."""
    BUILD.mkdir(exist_ok=True)
    for source in sorted((HERE / "src").glob("*.c")):
        target = BUILD / source.stem
        if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
            continue
        try:
            subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", target, source], check=True)
        except FileNotFoundError:
            raise LoadFailed("make bench needs a C compiler: type  apt-get install -y gcc libc6-dev  (as root)") from None


def load(port: int, body: dict[str, Any], *, connections: int, seconds: float, requests: int = -1, expect: str) -> Load:
    """Chat with 127.0.0.1:`port` for `seconds`, or until `requests` are through. LoadFailed if any reply lacks `expect`."""
    result, complaint = try_load(port, body, connections=connections, seconds=seconds, requests=requests, expect=expect)
    if result.errors or result.unfinished or not result.ok:
        raise LoadFailed(f"{result.errors} errors, {result.unfinished} unfinished of {result.ok} replies: {complaint}")
    return result


def try_load(
    port: int, body: dict[str, Any], *, connections: int, seconds: float, requests: int = -1, expect: str
) -> tuple[Load, str]:
    """The same where some replies may be wrong: they are counted, and the first of them is complained of."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(body, file)
        file.flush()
        command = [str(BUILD / "load"), "-p", str(port), "-u", "/v1/chat/completions", "-H", "Content-Type: application/json"]
        command += ["-b", file.name, "-c", str(connections), "-t", str(seconds), "-n", str(requests), "-x", expect]
        process = popen(command, OTHER_CORE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate(timeout=seconds + 60)
    if process.returncode != 0:
        raise LoadFailed(err.decode())
    return msgspec.json.decode(out, type=Load), err.decode().strip()
