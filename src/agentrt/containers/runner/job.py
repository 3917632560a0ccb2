"""What a runner is asked to do, and what it says came of it."""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

Mode = Literal["kernel", "python", "bash", "command"]
Stream = Literal["stdout", "stderr"]
Ended = Literal["", "wall", "cpu", "output", "disk", "cancelled", "box"]
Taker = Callable[[Stream, bytes], None]
"""Is given output as it comes; bytes are cut anywhere, also within a character."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Code to run. `kernel`: Python in the interpreter of this box, which keeps its variables; `python`: Python in a process
    of its own; `bash`: a script; `command`: `argv`. `output_bytes` caps both streams together, while they flow."""

    mode: Mode
    code: str = ""
    argv: tuple[str, ...] = ()
    cwd: str = "/workspace"
    env: Mapping[str, str] = {}
    stdin: bytes = b""
    wall_s: float = 120.0
    cpu_s: float = 120.0
    output_bytes: int = 10_485_760


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a job. `exit_code` is negative for a signal; `value` is the repr of the last expression (kernel, python),
    empty where it was None. `ended` says what cut it short. `state_lost`: the interpreter with its variables is gone.

    What a kernel says of itself is told by user code: nothing of it is trusted beyond being shown.
    """

    exit_code: int
    value: str = ""
    ended: Ended = ""
    state_lost: bool = False
    duration_ms: float = 0.0
    output_bytes: int = 0
