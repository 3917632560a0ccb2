"""Starts a run, watches it, loses the connection in mid-text, and comes back without a gap or a repeat.

    python examples/clients/watch.py

Needs nothing but Python. The server is at AGENTRT_URL (http://127.0.0.1:8080).
"""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

URL = os.environ.get("AGENTRT_URL", "http://127.0.0.1:8080")
ENDS = {"run_completed", "run_failed", "run_cancelled"}


def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def events(run_id: str, cursor: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pairs of (cursor, event) past `cursor`, until the stream ends. An event without an id leaves the cursor as it was."""
    request = urllib.request.Request(f"{URL}/runs/{run_id}/events", headers={"Last-Event-ID": cursor})
    with urllib.request.urlopen(request) as answer:
        if answer.status == 204:  # the run has ended, and nothing comes after the cursor
            return
        for line in answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "id":
                cursor = value
            elif name == "data":
                yield cursor, json.loads(value)


def watch(run_id: str) -> str:
    """The whole text of a run, over dropped connections and restarts of the server."""
    text, cursor, drops = "", "0", 0
    while True:
        try:
            for seen, event in events(run_id, cursor):
                cursor = seen
                match event["type"]:
                    case "text_delta":
                        text += event["text"]
                    case "text_discarded":  # the server was restarted in mid-answer: the step starts over
                        text = ""
                    case kind if kind in ENDS:
                        print(f"{kind} after {drops} dropped connection")
                        return text
                if len(text) > 60 and not drops:
                    drops += 1
                    print(f"dropping the connection at event {cursor}")
                    break
        except (urllib.error.URLError, ConnectionError):
            time.sleep(1)


def main() -> None:
    # an offline model that takes two seconds over its hundred words
    run = post("/runs", {"input": "Talk to me", "model": "offline/load-slow"})
    print(f"{run['id']} is {run['status']}")
    text = watch(run["id"])
    assert text == "token " * 100, "not a character is missing or doubled"
    print(f"{len(text)} characters, none missing, none doubled")


if __name__ == "__main__":
    main()
