"""Chats through the OpenAI SDK: one question, then a conversation that the server remembers.

    python examples/clients/chat.py

The server is at AGENTRT_URL (http://127.0.0.1:8080).
"""

import os

from openai import OpenAI

URL = os.environ.get("AGENTRT_URL", "http://127.0.0.1:8080")


def ask_once(client: OpenAI) -> None:
    """Without a session the server remembers nothing: a client sends the whole conversation each time."""
    answer = client.chat.completions.create(
        model="default",  # an agent; `default:openai/gpt-5.5` is the same agent with another model
        messages=[{"role": "user", "content": "What is 2 + 2 * 3?"}],
    )
    print(answer.choices[0].message.content)


def converse(client: OpenAI) -> None:
    """With a session it is enough to send what is new. Any name will do; an unused one begins a session."""
    for question in ("Echo: my name is Ada", "Count from 1 to 3"):
        answer = client.chat.completions.with_raw_response.create(
            model="default",
            messages=[{"role": "user", "content": question}],
            extra_headers={"X-Session-Id": "example-chat"},
        )
        print(f"{answer.headers['x-session-id']}, {answer.headers['x-run-id']}:", answer.parse().choices[0].message.content)


if __name__ == "__main__":
    # authentication is off: the SDK insists on a key, and any will do
    with OpenAI(base_url=f"{URL}/v1", api_key="none is needed") as client:
        ask_once(client)
        converse(client)
