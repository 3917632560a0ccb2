import asyncio
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Self

from agentrt.kernel import Module, ModuleHealth

from .service import Skills
from .tool_source import SkillTools

TIDY_S = 60.0


class SkillsModule(Module):
    """Skills for agents: a tool that reads them, and views of them that go when they are out of date and no sandbox sees them.

    `used` says which of the views sandboxes see.
    """

    name = "skills"

    def __init__(self, skills: Skills, used: Callable[[], Collection[Path]] = tuple, *, tidy_s: float = TIDY_S) -> None:
        self._skills, self._used, self._tidy_s = skills, used, tidy_s
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._keeper = self._group.create_task(self._tidy(), name="tidy views of skills")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._keeper.cancel()
        await self._group.__aexit__(None, None, None)
        await asyncio.to_thread(self._skills.clear)

    @property
    def tools(self) -> Sequence[Any]:
        return (SkillTools(self._skills),)

    def health(self) -> ModuleHealth:
        found = self._skills.found()
        if found.bad:
            return ModuleHealth("degraded", {bad.folder: bad.reason for bad in found.bad})
        return ModuleHealth("ok", f"{len(found.skills)} skills")

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(self._tidy_s)
            await asyncio.to_thread(self._skills.tidy, self._used())
