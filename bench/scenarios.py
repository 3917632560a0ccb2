"""What is measured and how. Every scenario returns figures by name; `report` knows what they mean."""

import http.client
import json
import time
import urllib.request
from collections.abc import Callable
from statistics import median
from typing import Any, Literal

from .load import Load, LoadFailed, load, try_load
from .process import Server
from .subjects import Subjects

Figures = dict[str, float]

CLIENTS = 16
ROUNDS = 3
SECONDS = 3.0
ANSWER = "fake-answer"
STORED = 100_000
TURNS = 400


def chat_with(model: str, *, history: int = 0, stream: bool = False) -> dict[str, Any]:
    """A chat request with `history` earlier messages of 400 characters each."""
    words = "a sentence of the conversation so far, neither long nor short. " * 7
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": words[:400]} for n in range(history)]
    body: dict[str, Any] = {"model": model, "messages": [*messages, {"role": "user", "content": "hello"}]}
    return {**body, "stream": True} if stream else body


def cost(
    server: Server,
    body: dict[str, Any],
    *,
    connections: int = CLIENTS,
    seconds: float = SECONDS,
    expect: str = ANSWER,
    each: Literal["event", "reply"] = "event",
) -> float:
    """CPU seconds of `server` for one event of the replies, or for one reply where they are no streams or `each` says so."""
    before = server.cpu_s()
    result = load(server.port, body, connections=connections, seconds=seconds, expect=expect)
    return (server.cpu_s() - before) / ((each == "event" and result.events) or result.ok)


def warm(server: Server, body: dict[str, Any], expect: str = ANSWER) -> None:
    load(server.port, body, connections=CLIENTS, seconds=1.0, expect=expect)


def side_by_side(
    subjects: Subjects, measure: Callable[[Server], float], body: dict[str, Any], expect: str = ANSWER
) -> tuple[float, float]:
    """The median of `measure` for the pass-through and for agentrt, taken in turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    with subjects.passthrough() as passthrough, subjects.agentrt() as agentrt:
        for server in (passthrough, agentrt):
            warm(server, body, expect)
        for _ in range(ROUNDS):
            for server, values in zip((passthrough, agentrt), taken, strict=True):
                values.append(measure(server))
    return median(taken[0]), median(taken[1])


def chat(subjects: Subjects) -> Figures:
    body = chat_with("fake")
    passthrough, agentrt = side_by_side(subjects, lambda server: cost(server, body), body)
    return {"chat_cpu_ms.passthrough": passthrough * 1e3, "chat_cpu_ms.agentrt": agentrt * 1e3}


def latency(subjects: Subjects) -> Figures:
    body = chat_with("fake")

    def p50(port: int) -> float:
        result = load(port, body, connections=1, seconds=2.0, expect=ANSWER)
        return result.latency_ms.p50 if result.latency_ms else 0.0

    passthrough, agentrt = side_by_side(subjects, lambda server: p50(server.port), body)
    direct = p50(subjects.upstream_port)
    return {"latency_added_ms.passthrough": passthrough - direct, "latency_added_ms.agentrt": agentrt - direct}


def tool(subjects: Subjects) -> Figures:
    plain, with_tool = chat_with("fake"), chat_with("fake-tool")
    with subjects.passthrough() as passthrough, subjects.agentrt() as agentrt:
        warm(passthrough, plain)
        warm(agentrt, with_tool)
        pairs = [(cost(passthrough, plain), cost(agentrt, with_tool)) for _ in range(ROUNDS)]
    return {
        "tool_cpu_ms.passthrough": median(plain for plain, _ in pairs) * 1e3,
        "tool_cpu_ms.agentrt": median(tool for _, tool in pairs) * 1e3,
    }


def stream(subjects: Subjects) -> Figures:
    body = chat_with("fake-n100-d0", stream=True)
    passthrough, agentrt = side_by_side(subjects, lambda server: cost(server, body, expect="token"), body, "token")
    return {"stream_cpu_us.passthrough": passthrough * 1e6, "stream_cpu_us.agentrt": agentrt * 1e6}


def anthropic(subjects: Subjects) -> Figures:
    """Anthropic's events beside OpenAI's of the same answer, and a streamed chat with a tool call through either."""
    tokens = [chat_with(model, stream=True) for model in ("fake-n100-d0", "anthropic-n100-d0")]
    tools = [chat_with(model, stream=True) for model in ("fake-tool", "anthropic-tool")]
    events: tuple[list[float], ...] = ([], [])
    calls: tuple[list[float], ...] = ([], [])
    with subjects.agentrt(anthropic=True) as server:
        for body, expect in zip(tokens + tools, ("token", "token", ANSWER, ANSWER), strict=True):
            warm(server, body, expect)
        for _ in range(ROUNDS):
            for body, values in zip(tokens, events, strict=True):
                values.append(cost(server, body, expect="token"))
            for body, values in zip(tools, calls, strict=True):
                values.append(cost(server, body, each="reply"))
    return {
        "anthropic_cpu_us.openai": median(events[0]) * 1e6,
        "anthropic_cpu_us.agentrt": median(events[1]) * 1e6,
        "anthropic_tool_cpu_ms.openai": median(calls[0]) * 1e3,
        "anthropic_tool_cpu_ms.agentrt": median(calls[1]) * 1e3,
    }


def fire(subjects: Subjects) -> Figures:
    """Fallback while one model call in ten fails, beside the same load without failures; then the same in streams."""
    unanswered = 0
    p99: dict[str, list[float]] = {"steady": [], "fire": []}
    before = flaky_calls(subjects)
    with subjects.agentrt(anthropic=True) as server:
        for name in p99:
            try_load(server.port, chat_with(name), connections=CLIENTS, seconds=1.0, expect=ANSWER)
        for _ in range(ROUNDS):
            for name, values in p99.items():
                result, _ = try_load(server.port, chat_with(name), connections=CLIENTS, seconds=SECONDS, expect=ANSWER)
                if result.latency_ms is None:
                    raise LoadFailed(f"no chat with {name} was answered")
                values.append(result.latency_ms.p99)
                unanswered += result.errors + result.unfinished
        streamed, _ = try_load(
            server.port, chat_with("fire", stream=True), connections=CLIENTS, seconds=SECONDS, expect='"finish_reason":"stop"'
        )
        unanswered += streamed.errors + streamed.unfinished
    calls, failed = (now - then for now, then in zip(flaky_calls(subjects), before, strict=True))
    steady, fire = (median(values) for values in p99.values())
    return {
        "fire_p99_ms.steady": steady,
        "fire_p99_ms.fire": fire,
        "fire_added_ms.agentrt": fire - steady,
        "fire_unanswered.agentrt": unanswered,
        "fire_failed_share.agentrt": failed / calls * 100,
    }


def flaky_calls(subjects: Subjects) -> tuple[int, int]:
    """How many calls the fake upstream's flaky models have had, and how many of them it failed."""
    with urllib.request.urlopen(f"http://127.0.0.1:{subjects.upstream_port}/flaky", timeout=5) as answer:
        counts = json.load(answer)
    return counts["calls"], counts["failed"]


def paced(subjects: Subjects) -> Figures:
    figures: Figures = {}
    body = chat_with("fake-n100-d20", stream=True)
    for name, make in (("passthrough", subjects.passthrough), ("agentrt", subjects.agentrt)):
        with make() as server:
            warm(server, chat_with("fake"))
            before = server.cpu_s()
            result: Load = load(server.port, body, connections=200, seconds=8.0, expect="token")
            figures[f"paced_rate.{name}"] = result.event_rate
            figures[f"paced_core.{name}"] = (server.cpu_s() - before) / result.elapsed * 100
            figures[f"paced_gap_ms.{name}"] = result.gap_ms.p99 if result.gap_ms else 0.0
    return figures


def start(subjects: Subjects) -> Figures:
    """The very first start, which makes the database, and the later ones."""
    figures: Figures = {}
    for name, server in (("passthrough", subjects.passthrough()), ("agentrt", subjects.agentrt())):
        with server:
            figures[f"very_first_start_s.{name}"] = server.healthy_s
        healthy, first = [], []
        for _ in range(ROUNDS):
            with server:
                healthy.append(server.healthy_s)
                began = time.monotonic()
                ask(server, chat_with("fake"))
                first.append((time.monotonic() - began) * 1e3)
        figures[f"start_s.{name}"] = median(healthy)
        figures[f"first_chat_ms.{name}"] = median(first)
    return figures


def ask(server: Server, body: dict[str, Any]) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert ANSWER.encode() in answer.read()


def memory(subjects: Subjects) -> Figures:
    """Each on its second start, when there is no database to make any more."""
    figures: Figures = {}
    for name, server, echo in (
        ("memory_mib.passthrough", subjects.passthrough(), False),
        ("memory_mib.agentrt", subjects.agentrt(sandboxes=False), False),
        ("memory_echo_mib.agentrt", subjects.agentrt(echo=True, sandboxes=False), True),
        ("memory_sandboxes_mib.agentrt", subjects.agentrt(), False),
    ):
        with server:
            pass
        with server:
            if echo:
                wait_connected(server)
            time.sleep(2)
            figures[name] = server.rss_mib()
    return figures


def wait_connected(server: Server) -> None:
    for _ in range(300):
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/mcp-servers", timeout=5) as answer:
            if {entry["state"] for entry in json.load(answer)["data"]} == {"connected"}:
                return
        time.sleep(0.1)
    raise RuntimeError("the echo server did not connect")


def stored(subjects: Subjects) -> Figures:
    """One server from its first chat to beyond 100,000 stored runs: what a chat costs then, what memory grew over 20,000."""
    body = chat_with("fake")
    figures: Figures = {}
    with subjects.agentrt() as server:
        chats(server, 2_000)
        figures["stored_cpu_ms.first"] = median(cost(server, body, seconds=2.0) for _ in range(ROUNDS)) * 1e3
        before = server.rss_mib()
        chats(server, 20_000)
        figures["memory_growth_mib.agentrt"] = server.rss_mib() - before
        chats(server, STORED - 22_000)
        figures["stored_cpu_ms.agentrt"] = median(cost(server, body, seconds=2.0) for _ in range(ROUNDS)) * 1e3
    figures["stored_growth.agentrt"] = figures["stored_cpu_ms.agentrt"] / figures["stored_cpu_ms.first"]
    return figures


def chats(server: Server, count: int) -> None:
    load(server.port, chat_with("fake"), connections=CLIENTS, seconds=240, requests=count, expect=ANSWER)


def history(subjects: Subjects) -> Figures:
    """What history costs beside twice what half of it does (1 is linear): resent without a session, and in one."""
    with subjects.agentrt() as server:
        warm(server, chat_with("fake"))
        none, some, much = (cost(server, chat_with("fake", history=length), connections=4) for length in (0, 100, 200))
        turns = converse(server)
    early, middle, late = (median(turns[at - 20 : at + 20]) for at in (20, TURNS // 2, TURNS - 20))
    return {
        "history_cpu_ms.none": none * 1e3,
        "history_cpu_ms.agentrt": much * 1e3,
        "history_growth.agentrt": (much - none) / (some - none) / 2,
        "session_cpu_ms.agentrt": late * 1e3,
        "session_growth.agentrt": (late - early) / (middle - early) / 2,
    }


def converse(server: Server) -> list[float]:
    """CPU seconds of each turn of one session whose client resends everything, as clients do."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    messages: list[dict[str, str]] = []
    spent = []
    for turn in range(TURNS):
        messages.append({"role": "user", "content": f"turn {turn}: " + "something to say about it. " * 14})
        before = server.cpu_s()
        body = json.dumps({"model": "fake", "messages": messages})
        headers = {"Content-Type": "application/json", "X-Session-Id": "sess-bench"}
        connection.request("POST", "/v1/chat/completions", body, headers)
        answer = json.load(connection.getresponse())
        spent.append(server.cpu_s() - before)
        messages.append({"role": "assistant", "content": answer["choices"][0]["message"]["content"]})
    connection.close()
    return spent


SCENARIOS: dict[str, Callable[[Subjects], Figures]] = {
    "chat": chat,
    "latency": latency,
    "tool": tool,
    "stream": stream,
    "anthropic": anthropic,
    "fire": fire,
    "paced": paced,
    "start": start,
    "memory": memory,
    "stored": stored,
    "history": history,
}
