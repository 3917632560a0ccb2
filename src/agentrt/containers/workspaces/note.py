import contextlib
import os
from pathlib import Path

import msgspec


class _Kept(msgspec.Struct, frozen=True):
    had_state: bool = False


class Note:
    """What is remembered of a workspace over restarts, in a small file beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = _Kept()
        with contextlib.suppress(OSError, msgspec.DecodeError):  # never written, or cut off: nothing is remembered
            self._kept = msgspec.json.decode(path.read_bytes(), type=_Kept)

    @property
    def had_state(self) -> bool:
        """Whether an interpreter with variables was used here, so that its end is a loss to be told."""
        return self._kept.had_state

    def remember_state(self) -> None:
        """Writes only what is new. OSError."""
        if self._kept.had_state:
            return
        kept = _Kept(had_state=True)
        part = self._path.with_suffix(f".{os.urandom(4).hex()}.part")
        part.write_bytes(msgspec.json.encode(kept))
        part.replace(self._path)
        self._kept = kept
