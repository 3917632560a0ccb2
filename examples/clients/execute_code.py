"""Code runs in a sandbox: asked for in a chat, then directly, with a chart that is downloaded.

    python examples/clients/execute_code.py

The server is at AGENTRT_URL (http://127.0.0.1:8080); `agentrt doctor` says whether code can run there.
"""

import os

import httpx2
from openai import OpenAI

URL = os.environ.get("AGENTRT_URL", "http://127.0.0.1:8080")
USER = "example"
CHART = "import matplotlib.pyplot as plt\nplt.plot(squares)\nplt.title('squares')"


def chat(client: OpenAI) -> None:
    """The same `user` comes back to the same conversation, with its variables and its files."""
    for code in ("print(2 + 2)", "n = 41", "print(n + 1)"):
        answer = client.chat.completions.create(
            model="code-executor",
            user=USER,
            messages=[{"role": "user", "content": f"Execute this Python code: {code}"}],
        )
        print(code, "->", (answer.choices[0].message.content or "").splitlines()[-1])


def work(http: httpx2.Client) -> None:
    """A sandbox without an agent. Each execution is a run that `/runs` shows."""
    sandbox = http.post("/sandboxes", json={}).raise_for_status().json()
    path = f"/sandboxes/{sandbox['id']}"
    try:
        done = http.post(f"{path}/exec", json={"code": "squares = [n * n for n in range(10)]\nsum(squares)"}).json()
        print("sum:", done["result"])
        drawn = http.post(f"{path}/exec", json={"code": CHART}).json()
        for made in drawn["artifacts"]:
            picture = http.get(f"/v1/files/{made['file']}/content").content
            print(f"{made['name']}: {made['media_type']}, {'whole' if len(picture) == made['size'] else 'cut off'}")
        with http.stream("POST", f"{path}/stream", json={"code": "ls", "language": "bash"}) as events:
            for line in events.iter_lines():
                if line.startswith("event: "):
                    print("event:", line.removeprefix("event: "))
    finally:
        http.post(f"{path}/release")


if __name__ == "__main__":
    with OpenAI(base_url=f"{URL}/v1", api_key="none is needed") as client:
        chat(client)
    with httpx2.Client(base_url=URL, headers={"x-user-id": USER}, timeout=60) as http:
        work(http)
