from collections.abc import Sequence
from typing import Any

from agentrt.kernel import Module

from .routes import SessionsController


class Sessions(Module):
    """Conversations over HTTP."""

    name = "sessions"

    @property
    def routes(self) -> Sequence[Any]:
        return (SessionsController,)
