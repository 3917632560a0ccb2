"""The resident runner: process 1 of a box. Runs inside, with nothing but the standard library of any Python >= 3.11.

It dials home once and then takes orders: a frame of JSON with the write ends of the host's pipes beside it. What user code prints
goes straight into those pipes, so only this process can speak on the control socket, and it never runs user code: that is for
children, which are forked ahead, one at a time, and have nothing of the control socket. It is not dumpable, so that code of the
same user can neither trace it nor open its descriptors, and it exits when the host goes away, which ends the box.
"""

import sys

from agentrt_runner.process_one import main  # pyright: ignore[reportMissingImports]

main(sys.argv[1])
