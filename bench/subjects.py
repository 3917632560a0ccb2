"""What is measured: the fake model itself, the pass-through, and agentrt as people run it."""

import subprocess
import sys
from pathlib import Path

from .load import BUILD, HERE
from .process import OTHER_CORE, Server, free_port

ROOT = HERE.parent


def installed(name: str) -> Path:
    """The Python of the environment that bench/`name` has of its own, built once per lock. RuntimeError where it cannot be."""
    lock = HERE / name / "requirements.lock"
    venv = BUILD / name
    python, stamp = venv / "bin" / "python", venv / "installed"
    if stamp.exists() and stamp.stat().st_mtime > lock.stat().st_mtime:
        return python
    print(f"installing bench/{name}", flush=True)
    install = ["-m", "uv", "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", lock]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([sys.executable, *install], check=True)
    except subprocess.CalledProcessError as exc:
        raise RuntimeError(f"bench/{name} could not be installed (the lines above say why)") from exc
    stamp.touch()
    return python


class Subjects:
    """Makes the servers; each with a folder of its own under `scratch`."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._made = 0
        self.upstream_port = free_port()

    def _folder(self) -> Path:
        self._made += 1
        folder = self._scratch / str(self._made)
        folder.mkdir()
        return folder

    def _env(self, home: Path) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self.upstream_port}/v1",
            "OPENAI_API_KEY": "not-a-secret",
        }

    def upstream(self) -> Server:
        folder = self._folder()
        port = self.upstream_port
        return Server([str(BUILD / "upstream"), str(port)], port, env=self._env(folder), cwd=folder, cores=OTHER_CORE)

    def passthrough(self) -> Server:
        folder = self._folder()
        port = free_port()
        command = [str(installed("passthrough").with_name("uvicorn")), "--app-dir", str(HERE / "passthrough"), "app:app"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--no-access-log", "--log-level", "warning"]
        return Server(command, port, env=self._env(folder), cwd=folder)

    def agentrt(self, *, echo: bool = False, anthropic: bool = False, sandboxes: bool = True) -> Server:
        """agentrt with an empty database and its defaults, but for the agents; with the shipped MCP server, or without MCP.
        With `anthropic` it has that provider too, which is the same fake model. Without `sandboxes` it looks for no engine."""
        folder = self._folder()
        port = free_port()
        command = [sys.executable, "-m", "agentrt", "serve", "--addr", f"127.0.0.1:{port}"]
        command += ["--config", str(HERE / "configs" / "agents")]
        env = {
            **self._env(folder),
            "AGENTRT_DATA_DIR": str(folder / "data"),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        }
        if not sandboxes:
            env["AGENTRT_MODULES__CONTAINERS"] = "false"
        if anthropic:
            env |= {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{self.upstream_port}", "ANTHROPIC_API_KEY": "not-a-secret"}
        if echo:
            command += ["--mcp-config", str(ROOT / "configs" / "mcp" / "servers.yaml")]
        else:
            env["AGENTRT_MODULES__MCP_REGISTRY"] = "false"
        return Server(command, port, env=env, cwd=folder)
