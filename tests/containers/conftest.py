from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from fixtures.code_server import CodeServer


@pytest.fixture
def as_user(code_server: CodeServer) -> Iterator[Callable[[str], httpx2.Client]]:
    """HTTP clients of people."""
    clients: list[httpx2.Client] = []

    def client(user: str) -> httpx2.Client:
        clients.append(code_server.client(user))
        return clients[-1]

    yield client
    for made in clients:
        made.close()


class Desk:
    """A sandbox over HTTP."""

    def __init__(self, client: httpx2.Client, **asked: Any) -> None:
        self.client = client
        answer = client.post("/sandboxes", json=asked)
        assert answer.status_code == 200, answer.text
        self.view = answer.json()
        self.path = f"/sandboxes/{self.view['id']}"

    def ask(self, code: str, **more: Any) -> httpx2.Response:
        return self.client.post(f"{self.path}/exec", json={"code": code, **more})

    def run(self, code: str, **more: Any) -> dict[str, Any]:
        answer = self.ask(code, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def desk(as_user: Callable[[str], httpx2.Client]) -> Callable[..., Desk]:
    """A sandbox of this person: `desk("ada", session="s")`."""
    return lambda user, **asked: Desk(as_user(user), **asked)
