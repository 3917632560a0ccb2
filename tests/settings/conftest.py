from collections.abc import Callable
from pathlib import Path

import pytest

from agentrt.settings import Settings, load_settings

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads in a folder of its own: `load(AGENTRT_ADDR=":1", dotenv="…", yaml="…", flags={…})`."""

    def run(*, flags: dict[str, object] | None = None, dotenv: str = "", yaml: str = "", **environ: str) -> Settings:
        if dotenv:
            (tmp_path / ".env").write_text(dotenv)
        if yaml:
            (tmp_path / "agentrt.yaml").write_text(yaml)
        return load_settings({"data_dir": str(tmp_path / "data"), **(flags or {})}, environ, tmp_path)

    return run
