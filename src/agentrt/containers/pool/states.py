"""What may become of a box, and the one way it is moved.

* creating  being started, by one task of the pool; nobody else touches it. A crash leaves a box that reconcile removes
* warm      has dialled home, belongs to nobody, and never did
* leased    bound to a holder, not used yet
* running   somebody runs something in it
* idle      bound, between two jobs; may be paused, evicted, or removed after a while
* paused    frozen; its memory and its variables are kept
* draining  being ended, by one task; never comes back
* removed   nothing of it is left
* failed    it died, or never stood; whoever moved it here drains it
"""

from typing import Literal

Stage = Literal["creating", "warm", "leased", "running", "idle", "paused", "draining", "removed", "failed"]

NEXT: dict[Stage, tuple[Stage, ...]] = {
    "creating": ("warm", "leased", "draining", "failed"),  # leased: made for one holder, who waits for it
    "warm": ("leased", "draining", "failed"),
    "leased": ("running", "idle", "draining", "failed"),
    "running": ("idle", "draining", "failed"),
    "idle": ("running", "paused", "draining", "failed"),
    "paused": ("idle", "draining", "failed"),
    "failed": ("draining",),
    "draining": ("removed",),
    "removed": (),
}
BOUND: tuple[Stage, ...] = ("leased", "running", "idle", "paused")
ALIVE: tuple[Stage, ...] = ("creating", "warm", *BOUND)


class BoxStates:
    """The state of one box. It moves by compare-and-set only, so that of two tasks that decided on the same state one acts.

    `generation` counts the moves: a state that was left and reached again is another one.
    """

    __slots__ = ("generation", "state")

    def __init__(self) -> None:
        self.state: Stage = "creating"
        self.generation = 0

    def move(self, state: Stage, generation: int, to: Stage) -> bool:
        """Go from `state` of that `generation` to `to`; False where it is no longer so, or no way leads there."""
        if self.state != state or self.generation != generation or to not in NEXT[state]:
            return False
        self.state, self.generation = to, generation + 1
        return True

    def go(self, to: Stage) -> bool:
        """Go to `to` from whatever is true right now; False where no way leads there."""
        return self.move(self.state, self.generation, to)
