"""Other programs that a build needs: they run under supervision, politely, and not for ever."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from agentrt.kernel import supervised

from ..errors import ImageNotBuilt

NO_SPACE = "no space is left on the disk; an image needs about 1 GB while it is built"
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")


class CommandFailed(Exception):
    """A program said no; `said` is what it wrote to standard error, without credentials in addresses."""

    def __init__(self, program: str, said: str) -> None:
        super().__init__(f"{program}: {said.strip().splitlines()[-1] if said.strip() else 'no reason given'}")
        self.said = said


async def run(command: Sequence[str | Path], *, timeout_s: float, stdin: bytes = b"", cwd: Path | None = None) -> str:
    """What `command` writes to standard output. CommandFailed; ImageNotBuilt where it is not installed, takes longer, or the
    disk is full. It ends, with all it started, when the caller is cancelled or this process dies."""
    words = [str(word) for word in command]
    process = await asyncio.create_subprocess_exec(
        *supervised(["nice", "-n", "10", *words]),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate(stdin)
    except TimeoutError as exc:
        raise ImageNotBuilt(f"{Path(words[0]).name} did not end within {timeout_s:.0f} s") from exc
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    said = _CREDENTIALS.sub("", err.decode(errors="replace"))
    if process.returncode == 0:
        return out.decode(errors="replace")
    if "No space left on device" in said:
        raise ImageNotBuilt(NO_SPACE, code="disk_full")
    raise CommandFailed(Path(words[0]).name, said)
