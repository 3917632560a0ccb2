from collections.abc import Sequence
from typing import Any

from agentrt.kernel import Module, ModuleHealth

from .service import Skills
from .tool_source import SkillTools


class SkillsModule(Module):
    """Skills for agents: a tool that reads them."""

    name = "skills"

    def __init__(self, skills: Skills) -> None:
        self._skills = skills

    @property
    def tools(self) -> Sequence[Any]:
        return (SkillTools(self._skills),)

    def health(self) -> ModuleHealth:
        found = self._skills.found()
        if found.bad:
            return ModuleHealth("degraded", {bad.folder: bad.reason for bad in found.bad})
        return ModuleHealth("ok", f"{len(found.skills)} skills")
