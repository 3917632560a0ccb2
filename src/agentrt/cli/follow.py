"""Following a run to its end, over dropped connections and restarts of the server."""

import json
import time
from collections.abc import Iterator
from typing import Any

from .client import Refused, Server, Silent
from .sse import read_events

ENDS = frozenset({"run_completed", "run_failed", "run_cancelled"})
PATIENCE_S = 60.0


def follow(server: Server, run_id: str, cursor: str = "") -> Iterator[dict[str, Any]]:
    """The run's events after `cursor`, in order, without gap or repeat; ends after its last one.

    A connection that drops is made anew from where it was for up to `PATIENCE_S` of silence, then Silent; an answer that
    will not change (404) is Refused at once.
    """
    silent_since, pause = time.monotonic(), 0.5
    while True:
        try:
            with server.stream(f"/runs/{run_id}/events", {"last-event-id": cursor} if cursor else {}) as response:
                if response.status_code == 204:
                    return
                for event in read_events(response.iter_bytes()):
                    silent_since, pause = time.monotonic(), (event.retry_ms or 500) / 1000
                    cursor = event.id or cursor
                    if event.event == "reconnect":
                        break
                    body = json.loads(event.data)
                    yield body
                    if event.event in ENDS:
                        return
        except Refused as exc:
            if exc.status < 500:
                raise
            _give_up_after(silent_since, exc)
        except Silent as exc:
            _give_up_after(silent_since, exc)
        time.sleep(pause)
        pause = min(pause * 1.5, 5)


def _give_up_after(silent_since: float, exc: Refused | Silent) -> None:
    if time.monotonic() - silent_since > PATIENCE_S:
        raise exc
