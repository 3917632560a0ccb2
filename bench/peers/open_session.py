"""llm-sandbox in an open session: `open_session.py URL IMAGE CODE TIMES` prints the milliseconds of each run as JSON."""

import json
import sys
import time

import docker  # pyright: ignore[reportMissingImports]
from llm_sandbox import SandboxSession  # pyright: ignore[reportMissingImports]

# where it looks for Python, and would make an environment with pip from an index
PREPARED = "mkdir -p /sandbox/.sandbox-venv/bin && ln -s $(command -v python3) /sandbox/.sandbox-venv/bin/python"


def main(url: str, image: str, code: str, times: int) -> list[float]:
    client = docker.DockerClient(base_url=url)
    container = client.containers.run(image, ["sleep", "300"], user="root", network_mode="none", detach=True, auto_remove=True)
    taken = []
    try:
        container.exec_run(["sh", "-c", PREPARED])
        with SandboxSession(client=client, container_id=container.id, lang="python") as session:
            for turn in range(times + 1):
                began = time.perf_counter()
                told = session.run(code)
                if turn:
                    taken.append((time.perf_counter() - began) * 1e3)
                assert told.stdout.strip() == "4", told
    finally:
        # its own end waits ten seconds for a process that takes no signal
        container.remove(force=True)
    return taken


print(json.dumps(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))))
