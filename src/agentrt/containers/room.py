"""How much code may write where no disk of its own holds it back: the folder is measured while code runs."""

import asyncio
import time
from contextlib import suppress

from agentrt.kernel import AgentrtError

from .errors import SandboxGone
from .runner import RunnerLink
from .workspaces import Workspace

_OFTEN_S = 0.5
_SHARE = 10  # of the time, so that a folder of many files is not measured all the time


async def hold_to_size(workspace: Workspace, link: RunnerLink) -> None:
    """Return when a plain folder holds more than it may, and all that ran in its box was ended for that."""
    pause = _OFTEN_S
    while not workspace.outgrown:
        await asyncio.sleep(pause)
        began = time.monotonic()
        with suppress(AgentrtError, OSError):  # closed under it, or changed too fast: next time, then
            await workspace.measure()
        pause = max(_OFTEN_S, _SHARE * (time.monotonic() - began))
    with suppress(SandboxGone, TimeoutError):
        await link.kill_all()
