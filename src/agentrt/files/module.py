from collections.abc import Sequence
from typing import Any

from agentrt.kernel import Module

from .routes import FilesController


class Files(Module):
    """Stored files over HTTP."""

    name = "files"

    @property
    def routes(self) -> Sequence[Any]:
        return (FilesController,)
