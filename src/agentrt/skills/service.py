"""The skills of this server: one folder for all agents, and a folder of each agent's own."""

import shutil
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
import structlog

from agentrt.agents import AgentSpec

from .folder import copy_to, files_of, stamp_of, text_of
from .skill import SKILL_FILE, Skill, entry_of, load_skill

log = structlog.get_logger()

LOOK_S = 1.0
KEEP_S = 60.0


class BadSkill(msgspec.Struct, frozen=True):
    """A folder that cannot be used as a skill, and why."""

    folder: str
    reason: str


class Found(msgspec.Struct, frozen=True):
    """The skills of a folder, by name, and what could not be used."""

    skills: tuple[Skill, ...] = ()
    bad: tuple[BadSkill, ...] = ()


def find_skills(folder: Path) -> Found:
    """Every skill in `folder`, each a folder of its own. Of two with one name the first in order is used."""
    skills: dict[str, Skill] = {}
    bad: list[BadSkill] = []
    for place in _folders(folder):
        try:
            skill = load_skill(place)
        except ValueError as exc:
            bad.append(BadSkill(_shown(place), str(exc)))
            continue
        if skill.name in skills:
            bad.append(BadSkill(_shown(place), f"its name is taken by another folder: {skill.name!r}"))
        else:
            skills[skill.name] = skill
    return Found(tuple(skills.values()), tuple(bad))


class Skills:
    """`shared` holds the skills that agents choose from, `agents/NAME/skills/` those of the agent NAME alone, before the
    shared ones. Folders are looked at again when they may have changed: what an operator saves is used within a second.

    `views` is a folder for copies to mount; what a former process left in it is removed. A view that another has taken the
    place of is kept for `keep_s` at least, because whoever was given it may not have mounted it yet.
    """

    def __init__(self, shared: Path, agents: Path, views: Path, *, keep_s: float = KEEP_S) -> None:
        self._shared, self._agents, self._views, self._keep_s = shared, agents, views, keep_s
        self._known: dict[Path, tuple[float, object, Found]] = {}
        self._copying = threading.Lock()
        self._newest: dict[str, Path] = {}
        self._given: dict[Path, float] = {}
        self.clear()

    def of(self, agent: AgentSpec) -> tuple[Skill, ...]:
        """The skills that this agent may use, by name."""
        if not agent.skills:
            return ()
        own = self._found(self._agents / agent.name / "skills").skills
        names = {skill.name for skill in own}
        shared = (skill for skill in self._found(self._shared).skills if skill.name not in names)
        chosen = [skill for skill in shared if any(fnmatchcase(skill.name, glob) for glob in agent.skills)]
        return tuple(sorted((*own, *chosen), key=lambda skill: skill.name))

    def section(self, agent: AgentSpec) -> str:
        """What the agent's prompt says of its skills; empty where it has none."""
        skills = self.of(agent)
        if not skills:
            return ""
        lines = "\n".join(f"- {skill.name}: {skill.description}" for skill in skills)
        return (
            "Skills are instructions for certain kinds of work. Where one fits the task, read it first with `read_skill`, and "
            f"follow it. The files of a skill are in the sandbox at /skills/NAME/.\n{lines}"
        )

    def read(self, agent: AgentSpec, name: str, path: str = SKILL_FILE) -> str:
        """A file of a skill, SKILL.md with a list of the others. ValueError, a sentence for the model, where there is none."""
        skill = next((skill for skill in self.of(agent) if skill.name == name), None)
        if skill is None:
            there = ", ".join(skill.name for skill in self.of(agent)) or "none"
            raise ValueError(f"there is no skill {name[:80]!r}; there are: {there}")
        if path != SKILL_FILE:
            return text_of(skill, path)
        others = [f"- {file}" for file in files_of(skill) if file != entry_of(skill.folder).name]
        listed = f"\n\nFiles of this skill, in the sandbox below /skills/{skill.name}/:\n" + "\n".join(others[:200])
        return skill.body + (listed if others else "")

    def view(self, agent: AgentSpec) -> Path | None:
        """A folder with copies of the agent's skills, to be mounted at /skills; None where it has none. Takes time."""
        skills = self.of(agent)
        if not skills:
            return None
        with self._copying:  # executions of several sandboxes ask at once, each in a thread
            target = self._views / stamp_of(skills)
            if not target.is_dir():
                copy_to(skills, target)
            self._newest[agent.name], self._given[target] = target, time.monotonic()
        return target

    def tidy(self, used: Collection[Path]) -> None:
        """Remove the views that are out of date, but for those that are `used`. Takes time."""
        with self._copying:
            before = time.monotonic() - self._keep_s
            wanted = {*used, *self._newest.values()}
            for view in [view for view, at in self._given.items() if at <= before and view not in wanted]:
                del self._given[view]
                gone = view.with_name(f"{view.name}.gone")  # at once: half of a view would be taken for a whole one
                with suppress(OSError):
                    view.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)

    def clear(self) -> None:
        """Remove all views."""
        shutil.rmtree(self._views, ignore_errors=True)

    def found(self) -> Found:
        """The shared skills and those of single agents, and what could not be used."""
        skills, bad = self._found(self._shared).skills, list(self._found(self._shared).bad)
        for folder in sorted(self._agents.glob("*/skills")):
            own = self._found(folder)
            skills += own.skills
            bad += [BadSkill(f"{_shown(folder.parent)}/skills/{one.folder}", one.reason) for one in own.bad]
        return Found(skills, tuple(bad))

    def _found(self, folder: Path) -> Found:
        now = time.monotonic()
        known = self._known.get(folder)
        if known is not None and now - known[0] < LOOK_S:
            return known[2]
        stamp = _stamp(folder)
        found = known[2] if known is not None and known[1] == stamp else self._look(folder)
        self._known[folder] = (now, stamp, found)
        return found

    def _look(self, folder: Path) -> Found:
        found = find_skills(folder)
        for skill in found.skills:
            if skill.warnings:
                log.warning("skill.odd", skill=skill.name, warnings=list(skill.warnings))
        for bad in found.bad:
            log.warning("skill.not_loaded", folder=bad.folder, reason=bad.reason)
        return found


def _shown(folder: Path) -> str:
    """Its name, where it is no text as it may be written."""
    return folder.name.encode(errors="surrogateescape").decode(errors="replace")


def _folders(folder: Path) -> Sequence[Path]:
    try:
        return sorted(place for place in folder.iterdir() if place.is_dir() and not place.name.startswith("."))
    except OSError:
        return ()


def _stamp(folder: Path) -> object:
    seen: list[object] = []
    for place in _folders(folder):
        try:
            status = entry_of(place).lstat()
        except OSError:
            seen.append(place.name)
            continue
        seen.append((place.name, status.st_mtime_ns, status.st_size, status.st_ino))
    return seen
