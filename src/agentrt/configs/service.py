import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import Any, Self

import msgspec
import structlog

from agentrt.bus import Bus, ConfigChanged
from agentrt.db import Database
from agentrt.kernel import AgentrtError, Clock, Invalid, Module, ModuleHealth, NotFound

from .kind import Kind, Versioned
from .scan import Scan, scan
from .store import VersionTable
from .watch import changes, stamp

log = structlog.get_logger()

MOST_PINNED = 1024


class _Served(msgspec.Struct):
    """What is in use of one kind. Replaced as a whole, never changed in place."""

    kind: Kind[Any]
    by_source: dict[str, Versioned[Any]] = {}
    by_name: Mapping[str, Versioned[Any]] = MappingProxyType({})
    called: Mapping[str, Versioned[Any]] = MappingProxyType({})  # aliases included
    problems: tuple[str, ...] = ()


class ConfigStore(Module):
    """Operators' files, typed and versioned, and read again when they change.

    A file that cannot be used is named in the log, in `problems` and in `health`; what it held before stays in use. Every
    version that was ever in use can be had again, also after a restart. Entering raises Unavailable where the database does
    not answer, and nothing else: with every file broken the store is there, empty and degraded.
    """

    name = "configs"

    def __init__(self, db: Database, bus: Bus, clock: Clock, kinds: Sequence[Kind[Any]], *, watch: bool = True) -> None:
        self._table, self._bus, self._clock, self._watch = VersionTable(db), bus, clock, watch
        self._served = {kind.name: _Served(kind) for kind in kinds}
        self._pinned: dict[tuple[str, str, str], Any] = {}
        self._stamp: object = None
        self._trouble = ""
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()

    def current(self, kind: str) -> Mapping[str, Versioned[Any]]:
        """The documents in use, by name."""
        return self._served[kind].by_name

    def find(self, kind: str, name: str) -> Versioned[Any] | None:
        """The document in use that has this name or alias."""
        return self._served[kind].called.get(name)

    async def version(self, kind: str, name: str, version: str) -> Any:
        """One version of a document, in use or not; NotFound where it was never in use here."""
        spec = self._pinned.get((kind, name, version))
        if spec is None:
            body = await self._table.body(kind, name, version)
            if body is None:
                raise NotFound(f"there is no version {version} of '{name}'", code="config_version_not_found")
            try:
                spec = msgspec.json.decode(body, type=self._served[kind].kind.type)
            except msgspec.ValidationError as exc:
                raise Invalid(f"version {version} of '{name}' cannot be read by this release: {exc}") from exc
            self._pin(kind, name, version, spec)
        return spec

    def problems(self) -> list[str]:
        """What is wrong with the files now, each as `file:line:column: message at $.path`."""
        found = [problem for served in self._served.values() for problem in served.problems]
        return [*found, f"edits are not in use yet: {self._trouble}"] if self._trouble else found

    def health(self) -> ModuleHealth:
        """Degraded while a file cannot be used; the detail counts the documents and names the problems."""
        counts: dict[str, Any] = {name: len(served.by_name) for name, served in self._served.items()}
        problems = self.problems()
        return ModuleHealth("degraded", counts | {"problems": problems}) if problems else ModuleHealth("ok", counts)

    async def reload(self) -> None:
        """Read every file again. Unavailable where new versions cannot be stored; what was in use then stays."""
        async with self._lock:
            kinds = [served.kind for served in self._served.values()]
            seen = await asyncio.to_thread(stamp, kinds)
            for kind in kinds:
                await self._reload(kind)
            self._stamp, self._trouble = seen, ""

    async def __aenter__(self) -> Self:
        await self.reload()
        if self._watch:
            group = await self._stack.enter_async_context(asyncio.TaskGroup())
            watcher = group.create_task(self._keep_up(), name="watch configuration files")
            self._stack.callback(watcher.cancel)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _keep_up(self) -> None:
        kinds = [served.kind for served in self._served.values()]
        async for _ in changes(kinds):
            if await asyncio.to_thread(stamp, kinds) == self._stamp:
                continue
            try:
                await self.reload()
            except AgentrtError as exc:  # the database; tried again at the next look
                self._report(exc.message)

    def _report(self, trouble: str) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        log.error("config.not_stored", reason=trouble)
        for name in self._served:
            self._bus.publish(ConfigChanged(name))

    async def _reload(self, kind: Kind[Any]) -> None:
        old = self._served[kind.name]
        found = await asyncio.to_thread(scan, kind, {name: entry.source for name, entry in old.called.items()})
        new = _merge(old, found)
        fresh = [entry for source, entry in new.by_source.items() if old.by_source.get(source) != entry]
        # stored before they are served: a run pins what it starts with
        await self._table.add(kind.name, fresh if kind.stored else (), self._clock.now_us())
        for entry in fresh:
            self._pin(kind.name, entry.name, entry.version, entry.spec)
        self._served[kind.name] = new
        if fresh or new.problems != old.problems or new.by_source.keys() != old.by_source.keys():
            _tell(kind.name, old, new, fresh)
            self._bus.publish(ConfigChanged(kind.name))

    def _pin(self, kind: str, name: str, version: str, spec: Any) -> None:
        self._pinned[kind, name, version] = spec
        if len(self._pinned) > MOST_PINNED:
            del self._pinned[next(iter(self._pinned))]


def _merge(old: _Served, found: Scan[Any]) -> _Served:
    """The usable files, and what the unusable ones held before."""
    by_source = {source: loaded.entry for source, loaded in found.loaded.items()}
    taken = {name for loaded in found.loaded.values() for name in loaded.names}
    for source in found.bad & old.by_source.keys():
        entry = old.by_source[source]
        if taken.isdisjoint((entry.name, *entry.aliases)):
            by_source[source] = entry
    entries = sorted(by_source.values(), key=lambda entry: entry.source)
    by_name = {entry.name: entry for entry in entries}
    problems = []
    for problem in sorted(found.problems):
        kept = "; the last good version stays in use" if problem.source in by_source else ""
        problems.append(f"{problem}{kept}")
    aliases = {alias: entry for entry in entries for alias in entry.aliases}
    return _Served(old.kind, by_source, MappingProxyType(by_name), MappingProxyType(aliases | by_name), tuple(problems))


def _tell(kind: str, old: _Served, new: _Served, fresh: Sequence[Versioned[Any]]) -> None:
    for entry in fresh:
        log.info("config.loaded", kind=kind, name=entry.name, version=entry.version, source=entry.source)
    for name in old.by_name.keys() - new.by_name.keys():
        log.info("config.removed", kind=kind, name=name, source=old.by_name[name].source)
    for problem in new.problems:
        if problem not in old.problems:
            log.warning("config.refused", kind=kind, problem=problem)
    if old.problems and not new.problems:
        log.info("config.repaired", kind=kind)
