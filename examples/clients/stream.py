"""Streams an answer through the OpenAI SDK, with what the agent does on the way.

    python examples/clients/stream.py

The server is at AGENTRT_URL (http://127.0.0.1:8080).
"""

import os

from openai import OpenAI

URL = os.environ.get("AGENTRT_URL", "http://127.0.0.1:8080")


def main() -> None:
    with OpenAI(base_url=f"{URL}/v1", api_key="none is needed") as client:
        stream = client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": "Use the echo tool to say: Hello"}],
            stream=True,
            stream_options={"include_usage": True},
            # without it the tools of the agent work unseen
            extra_headers={"X-Agentrt-Events": "true"},
        )
        for chunk in stream:
            event = (chunk.model_extra or {}).get("agentrt") or {}
            if event.get("type") in ("tool_started", "tool_completed"):
                print(f"[{event['type']} {event['name']}]")
            for choice in chunk.choices:
                print(choice.delta.content or "", end="", flush=True)
            if chunk.usage:
                print(f"\n{chunk.usage.total_tokens} tokens in {event['duration_ms']:.0f} ms")


if __name__ == "__main__":
    main()
