"""Heavy packages, imported in threads while others are answered."""

import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_ONE_AT_A_TIME = threading.RLock()


def one_import_at_a_time(load: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `load` returns, which imports packages; call it in a thread.

    Where two threads that import want what the other is at, Python does not let them wait for ever: it hands one of them a
    package that is only half there.
    """
    with _ONE_AT_A_TIME:
        return load(*args, **kwargs)
