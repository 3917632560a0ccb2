"""Which engine there is."""

from pathlib import Path

from ..errors import EngineUnavailable
from ..spec import ContainerOptions
from .bubblewrap import BubblewrapEngine
from .docker import DockerEngine


async def choose_engine(options: ContainerOptions, folder: Path) -> DockerEngine | BubblewrapEngine:
    """The engine that the settings name, or the first that answers and can enforce limits; not opened yet. `folder` is the
    containers' folder. EngineUnavailable with one sentence of what to install."""
    if options.engine == "none":
        raise EngineUnavailable("Code execution is switched off: containers.engine is none.")
    wanted = ("docker", "bubblewrap") if options.engine == "auto" else (options.engine,)
    reasons: list[str] = []
    for name in wanted:
        engine = DockerEngine(options.docker_url, options.runtime) if name == "docker" else BubblewrapEngine(folder)
        async with engine:
            status = await engine.probe()
        if status.ok:
            return engine
        reasons.append(status.detail)
    raise EngineUnavailable(" ".join(reasons))
