"""What the machine has that limits must fit into."""

import os

import msgspec

from agentrt.kernel import Invalid

from ..spec import MIB, Limits


class Machine(msgspec.Struct, frozen=True):
    cpus: int
    memory_mb: int

    def check(self, limits: Limits) -> None:
        """Invalid for limits that this machine cannot give, naming them."""
        if limits.cpus > self.cpus:
            raise Invalid(f"limits.cpus is {limits.cpus:g}, and the machine has {self.cpus}.", param="limits.cpus")
        if limits.memory_mb > self.memory_mb:
            raise Invalid(
                f"limits.memory_mb is {limits.memory_mb}, and the machine has {self.memory_mb}.", param="limits.memory_mb"
            )


def this_machine() -> Machine:
    return Machine(os.cpu_count() or 1, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB)
