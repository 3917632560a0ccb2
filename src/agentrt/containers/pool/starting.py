"""How a box comes to be: a slot, a socket to dial home to, the engine, the first word of its runner."""

import asyncio
import secrets
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import structlog

from agentrt.kernel import TimedOut, Unavailable

from ..engines import INSTANCE_LABEL, BoxSpec, Engine, Mount
from ..errors import ImageMissing
from ..runner import COMMAND, RUNNER, Dock, RunnerLink
from ..spec import Limits
from .box import SAID, Box
from .lending import Lender
from .outlet import Outlet
from .slots import RUNNER_FOLDER, Slots

log = structlog.get_logger()

POOL_LABEL = "agentrt.pool"
# what programs keep for themselves stays out of the files that a user sees
HOME = {"HOME": "/workspace", "LANG": "C.UTF-8", "XDG_CACHE_HOME": "/tmp/.cache", "MPLCONFIGDIR": "/tmp/.matplotlib"}
# the image cannot list every box's user, and libraries ask for the name
USER = dict.fromkeys(("USER", "LOGNAME"), "coderunner")
# libraries take one for each processor of the machine otherwise, which count against the limit of processes
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS", "LOKY_MAX_CPU_COUNT")
_GONE_S = 10.0


def new_box_id() -> str:
    """Says nothing of whose it is, or will be: it shows inside."""
    return secrets.token_hex(8)


class Recipe:
    """What all boxes of a kind have in common. `command` empty: the resident runner. `missing` are modules of `preload` that were
    not found, which was told."""

    def __init__(self, pool: str, *, command: Sequence[str], preload: Sequence[str], limits: Limits, timeout_s: float) -> None:
        self.pool, self.limits, self.timeout_s = pool, limits, timeout_s
        self.command, self.resident = tuple(command) or COMMAND, not command
        self.missing: tuple[str, ...] = ()
        self.env = HOME | USER | dict.fromkeys(THREADS, str(max(1, int(limits.cpus))))
        if preload:
            self.env["AGENTRT_PRELOAD"] = ",".join(preload)


class Starter:
    """Starts boxes of one server, and takes away what is left of them. The runner is mounted from `runtime`: where this
    program is installed shows inside otherwise."""

    def __init__(self, engine: Engine, slots: Slots, runtime: Path, instance: str, lender: Lender, outlet: Outlet) -> None:
        self._engine, self._slots, self._instance = engine, slots, instance
        self._lender, self._outlet = lender, outlet
        self._runner = Mount(source=runtime / RUNNER_FOLDER, target=COMMAND[2])
        self._laying = threading.Lock()
        self._ended = False

    def install(self) -> None:
        """Lay out the runner; while no box stands. Nothing after `uninstall`, which a thread cannot be kept from. OSError."""
        import compileall  # a start of the server has no use for it

        with self._laying:
            if self._ended:
                return
            self._lender.clear()
            place = self._runner.source
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(RUNNER, place, ignore=shutil.ignore_patterns("__pycache__"))
            compileall.compile_dir(place, ddir=COMMAND[2], quiet=2)  # for boxes whose Python is ours; others do it themselves
            for path in (place, *place.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)

    def uninstall(self) -> None:
        with self._laying:
            self._ended = True
            self._lender.clear()
            shutil.rmtree(self._runner.source, ignore_errors=True)

    async def start(self, box: Box, recipe: Recipe, mounts: Sequence[Mount]) -> None:
        """Start `box`, which has a slot already, and wait until its runner dialled home.

        EngineUnavailable, ImageMissing, Invalid, OSError; TimedOut where it did not dial home; Unavailable where it ended
        before that. To be called in a task of the box's own; whatever happens, `clear` must follow some day.
        """
        if not box.image:
            raise ImageMissing("no image was built yet; `agentrt image build` makes one")
        slot = box.slot
        assert slot is not None
        async with Dock(slot.control) as dock:
            await self._outlet.open(box.id, slot.control)
            lent = await asyncio.to_thread(self._lender.lend, box.id)
            asked = BoxSpec(
                id=box.id,
                image=box.image,
                command=recipe.command,
                uid=slot.uid,
                gid=slot.gid,
                limits=recipe.limits,
                env=recipe.env,
                mounts=(*mounts, *((self._runner,) if recipe.resident else ()), *lent),
                labels={INSTANCE_LABEL: self._instance, POOL_LABEL: recipe.pool},
            )
            box.starting = True
            try:
                await self._engine.start(asked)
            finally:
                box.starting = False
                await asyncio.to_thread(self._lender.take_back, box.id)
            box.link = await self._first_word(dock, box, recipe.timeout_s)
        if box.link.missing and box.link.missing != recipe.missing:
            recipe.missing = box.link.missing
            log.warning("preload.missing", pool=recipe.pool, modules=list(recipe.missing))

    async def _first_word(self, dock: Dock, box: Box, timeout_s: float) -> RunnerLink:
        async def owns(pid: int) -> bool:
            return await self._engine.owns(box.id, pid)

        try:
            async with asyncio.timeout(0 if box.over.is_set() else timeout_s) as box.patience:
                return await dock.link(owns, timeout_s)
        except TimeoutError:
            if box.over.is_set():
                raise Unavailable(f"the container ended before it was ready: {SAID[box.why or 'exited']}") from None
            raise TimedOut(f"the container did not get ready in {timeout_s:g} s") from None
        finally:
            box.patience = None

    async def clear(self, box: Box) -> None:
        """End everything in it and give back what it had. EngineUnavailable leaves it as it is, to be tried again."""
        if box.link is not None:
            box.link.close()
        await self._outlet.close(box.id)
        async with asyncio.timeout(_GONE_S):
            await self._engine.remove(box.id)
        if box.slot is not None:
            slot, box.slot = box.slot, None
            self._slots.give_back(slot)
