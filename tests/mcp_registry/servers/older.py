"""A server of the 2025-11-25 protocol over stdio, by hand and without any package: it starts in no time and can misbehave."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WRITING = threading.Lock()
CANCELLED: set[object] = set()
AT_WORK: set[object] = set()
MOST_AT_WORK = [0]
EXTRA: list[dict] = []


def send(message: dict) -> None:
    with WRITING:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def text(said: str, **more: object) -> dict:
    return {"content": [{"type": "text", "text": said}], **more}


def tools() -> list[dict]:
    plain = {"type": "object", "properties": {}}
    names = (
        "slow",
        "most",
        "die",
        "shout",
        "picture",
        "figures",
        "broken",
        "meta",
        "grow",
        "offspring",
        "environment",
        "refuse",
        "nonsense",
    )
    return [
        {"name": "look", "inputSchema": plain, "annotations": {"readOnlyHint": True}},
        {"name": "put", "inputSchema": plain, "annotations": {"idempotentHint": True, "title": "Put it"}},
        {"name": "crooked", "description": None, "inputSchema": {"properties": {"a": 1}, "required": "a"}, "outputSchema": []},
        {"name": "schemaless", "icons": "none", "annotations": {"readOnlyHint": "yes"}},
        {"description": "it has no name"},
        {"name": "later", "inputSchema": plain, "execution": {"taskSupport": "required"}},
        *({"name": name, "inputSchema": plain} for name in names),
        *EXTRA,
    ]


def slow(ident: object, params: dict) -> dict | None:
    token = params.get("_meta", {}).get("progressToken")
    steps = params.get("arguments", {}).get("steps", 2)
    for step in range(1, steps + 1):
        for _ in range(20):
            time.sleep(0.005)
            if ident in CANCELLED:
                print("cancelled", file=sys.stderr, flush=True)
                return None
        if token is not None:
            told = {"progressToken": token, "progress": step, "total": steps, "message": f"step {step}"}
            send({"method": "notifications/progress", "params": told})
    return text("done")


def offspring() -> dict:
    """A child, and a grandchild that leaves the session, the group and its parent."""
    script = (
        "from subprocess import *; print(Popen(['sleep', '300'], start_new_session=True, stdout=DEVNULL, stderr=DEVNULL).pid)"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    return text(json.dumps([os.getpid(), os.getppid(), int(told.stdout)]))


def die() -> dict:
    print("I am dying", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def shout() -> dict:
    print("first line\nsecond line", file=sys.stderr, flush=True)
    return text("shouted")


def picture() -> dict:
    resource = {"uri": "file:///a/notes.bin", "mimeType": "application/x-notes", "blob": "AAEC"}
    written = {"uri": "file:///a/notes.txt", "text": "in words"}
    link = {"type": "resource_link", "uri": "https://example.com/x", "name": "x"}
    sound = {"type": "audio", "data": "AAEC", "mimeType": "audio/wav"}
    image = {"type": "image", "data": PIXEL, "mimeType": "image/png"}
    return {"content": [image, sound, *({"type": "resource", "resource": r} for r in (resource, written)), link]}


def grow() -> dict:
    EXTRA.append({"name": "extra", "inputSchema": {"type": "object"}})
    send({"method": "notifications/tools/list_changed"})
    return text("grown")


def environment() -> dict:
    print(f"the token is {os.environ.get('TOKEN')}", file=sys.stderr, flush=True)
    return text(json.dumps(dict(os.environ)))


CALLS = {
    "look": lambda: text("seen"),
    "most": lambda: text(str(MOST_AT_WORK[0])),
    "die": die,
    "shout": shout,
    "picture": picture,
    "figures": lambda: {"content": [], "structuredContent": {"total": 3}},
    "broken": lambda: text("it went wrong", isError=True),
    "grow": grow,
    "offspring": offspring,
    "environment": environment,
    "nonsense": lambda: {"content": [{"type": "hologram"}]},
}


def call(ident: object, params: dict) -> dict | None:
    if params["name"] == "slow":
        AT_WORK.add(ident)
        MOST_AT_WORK[0] = max(MOST_AT_WORK[0], len(AT_WORK))
        try:
            return slow(ident, params)
        finally:
            AT_WORK.discard(ident)
    if params["name"] == "meta":
        return text(json.dumps(params.get("_meta", {})))
    return CALLS[params["name"]]()


def listing(params: dict) -> dict:
    known = tools()
    start = int(params.get("cursor") or 0)
    page = {"tools": known[start : start + 5]}
    return page | ({"nextCursor": str(start + 5)} if start + 5 < len(known) else {"nextCursor": None})


def answer(ident: object, method: str, params: dict) -> None:
    if method == "initialize":
        info = {"name": "older", "version": "1"}
        send({"id": ident, "result": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}})
    elif method == "tools/list":
        send({"id": ident, "result": listing(params)})
    elif method == "tools/call" and params["name"] == "refuse":
        send({"id": ident, "error": {"code": -32602, "message": "not today"}})
    elif method == "tools/call":
        if (result := call(ident, params)) is not None:
            send({"id": ident, "result": result})
    else:
        send({"id": ident, "error": {"code": -32601, "message": "Method not found"}})


def main() -> None:
    print("hello, I am not an MCP message", flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        params = message.get("params", {})
        if message["method"] == "notifications/cancelled":
            CANCELLED.add(params["requestId"])
        elif "id" in message:
            threading.Thread(target=answer, args=(message["id"], message["method"], params), daemon=True).start()


if __name__ == "__main__":
    if "--crash" in sys.argv:
        sys.exit("no licence key found")
    main()
