import time

from agentrt.kernel import AgentrtError, Invalid, Unavailable, delay

from ..errors import EngineUnavailable, ImageMissing

_MOST_S = 15.0


class Trouble:
    """Why boxes cannot be started right now, and when that is tried again."""

    def __init__(self) -> None:
        self._failures = 0
        self._again = 0.0
        self.error: AgentrtError | None = None

    def note(self, error: Exception) -> None:
        """A box could not be started."""
        self._failures += 1
        self._again = time.monotonic() + delay(self._failures, most=_MOST_S)
        self.error = error if isinstance(error, AgentrtError) else Unavailable(f"a container could not be started: {error}")

    def clear(self) -> bool:
        """A box was started, or what was in the way is gone; whether there was any trouble."""
        had = self.error is not None
        self._failures, self._again, self.error = 0, 0.0, None
        return had

    @property
    def certain(self) -> bool:
        """Whether nobody need wait: the next attempt fails as well, as far as one can know."""
        return self._failures > 1 or isinstance(self.error, EngineUnavailable | ImageMissing | Invalid)

    def retry_in(self) -> float:
        """Seconds until boxes are started again; 0 for now."""
        return max(0.0, self._again - time.monotonic())

    def told(self) -> AgentrtError | None:
        """What a caller is told that needs a new box now; None where it may wait for one."""
        if self.error is None or not self.certain:
            return None
        # whether an engine answers is asked again and again anyway: nobody need find it out by waiting
        if not self.retry_in() and not isinstance(self.error, EngineUnavailable):
            return None
        return type(self.error)(self.error.message, code=self.error.code, retry_after_s=max(1.0, self.retry_in()))
