from importlib.resources import files
from pathlib import Path


def share() -> Path:
    """The folder that holds what ships beside the code: `alembic.ini`, `migrations/`, `configs/`, `examples/mcp-servers/echo/`.

    The checkout where there is one, else `agentrt/_share` of the installed wheel.
    """
    package = Path(str(files("agentrt")))
    checkout = package.parents[1]
    return checkout if (checkout / "alembic.ini").is_file() and (checkout / "pyproject.toml").is_file() else package / "_share"
