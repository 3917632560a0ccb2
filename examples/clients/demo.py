"""One chat through the OpenAI SDK that uses a tool, with the run's events printed as they happen.

    make demo                                   a server of its own, stopped at the end; no key, no network
    python examples/clients/demo.py COMMAND     the same with another way to start agentrt, such as: python3 agentrt.pyz

Exits with 0 only if the tool was called, the answer came through, and the server stopped as it should.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from openai import AsyncOpenAI

QUESTION = "Use the echo tool to say: Hello"
EXPECTED = ["run_started", "model_started", "tool_started", "tool_completed", "final_text", "run_completed"]
START_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@asynccontextmanager
async def server(command: list[str], home: str) -> AsyncIterator[str]:
    """A running server with its data in `home`; yields its address."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    print(f"starting the server at {url}")
    ours = {"AGENTRT_DATA_DIR": home, "AGENTRT_LOG__LEVEL": "warning", "DEFAULT_MODEL": "offline/offline"}
    env = {"PATH": os.environ["PATH"], "HOME": home, **ours}
    process = await asyncio.create_subprocess_exec(*command, "serve", "--addr", f"127.0.0.1:{port}", cwd=home, env=env)
    try:
        await healthy(url, process)
        yield url
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 20)
    print(f"the server stopped (exit code {code})")
    if code != 0:
        raise SystemExit("the server should have stopped with exit code 0")


async def healthy(url: str, process: asyncio.subprocess.Process) -> None:
    """Return once the server answers."""
    async with asyncio.timeout(START_S), aiohttp.ClientSession() as http:
        while process.returncode is None:
            try:
                async with http.get(f"{url}/health"):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
    raise SystemExit("the server did not start")


async def events(url: str, run_id: str) -> AsyncIterator[dict[str, Any]]:
    """The run's events from its first, live, until it ends."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/runs/{run_id}/events") as answer:
        answer.raise_for_status()
        async for line in answer.content:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


async def show(url: str, run_id: str) -> list[str]:
    """Print the timeline; returns the names of what happened."""
    names = []
    async for event in events(url, run_id):
        names.append(event["type"])
        about = {key: value for key, value in event.items() if key not in {"seq", "type", "run_id", "at"}}
        detail = json.dumps(about, ensure_ascii=False)
        print(f"  {event.get('at', ''):<28} {event['type']:<16} {detail if len(detail) < 100 else detail[:99] + '…'}")
    return names


async def chat(url: str) -> tuple[str, list[str]]:
    """Ask; returns the answer and the names of the run's events."""
    print(f"asking: {QUESTION}")
    async with (
        AsyncOpenAI(base_url=f"{url}/v1", api_key="none is needed") as client,
        client.chat.completions.with_streaming_response.create(
            model="default", messages=[{"role": "user", "content": QUESTION}], stream=True
        ) as response,
        asyncio.TaskGroup() as group,
    ):
        timeline = group.create_task(show(url, response.headers["x-run-id"]))
        answer = ""
        async for chunk in await response.parse():
            answer += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    return answer, timeline.result()


async def main(command: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="agentrt-demo-") as home:
        async with server(command, home) as url, asyncio.timeout(60):
            answer, names = await chat(url)
            print(f"answer: {answer}")
    missing = [name for name in EXPECTED if name not in names]
    if missing or "Hello" not in answer:
        raise SystemExit(f"not as it should be: no {', '.join(missing) or 'Hello in the answer'}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or [sys.executable, "-m", "agentrt"]))
