"""The command `agentrt`, also as `python -m agentrt`."""

import signal
import sys


def main() -> int:
    """Carry out the command line of this process; its exit code."""
    # the imports take a quarter of a second: who presses Ctrl-C by then wants an end, not a traceback
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from agentrt.cli import main as run

    signal.signal(signal.SIGINT, usual)
    return run()


if __name__ == "__main__":
    sys.exit(main())
