"""The commands' way to a running server: plain HTTP, every failure one sentence."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import quote, urlsplit

import click
import httpx2

from agentrt import __version__
from agentrt.settings import Settings

from .flags import read_settings

MOST_USER = 255
ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Refused(click.ClickException):
    """The server said no, in its own words. `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Silent(click.ClickException):
    """No server answered where one was expected."""


def server_url(settings: Settings, named: str | None) -> tuple[str, bool]:
    """The address of the server, and whether somebody named it (else it follows from the configured address)."""
    if url := named or settings.env.get("AGENTRT_URL"):
        if not _is_address(url):
            source = "--url" if named else "AGENTRT_URL"
            raise click.UsageError(f"{source}: expected an address such as http://127.0.0.1:8080, got {url!r}")
        return url.rstrip("/").removesuffix("/v1"), True  # what other programs are told ends so
    host = ANY_HOST.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}", False


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # no port, or half an IPv6 address
        return False


def connect(said: dict[str, Any]) -> "Server":
    """The running server that the flags, the environment or the settings name."""
    return Server(server_url(read_settings(said), said.get("url"))[0])


def quoted(name: str) -> str:
    """An id as part of a path, whatever was typed."""
    return quote(name, safe="") or "%20"


class Server:
    """A running server. Every call raises Refused or Silent, never an HTTP library's error."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx2.Client(
            base_url=url,
            headers={"user-agent": f"agentrt/{__version__}"},
            timeout=httpx2.Timeout(60, connect=5),
            trust_env=not url.startswith(("http://127.", "http://localhost", "http://[::1]")),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._http.close()

    def get(self, path: str, /, **query: Any) -> Any:
        return self._call("GET", path, query=query)

    def post(self, path: str, body: Any = None) -> Any:
        return self._call("POST", path, body={} if body is None else body)

    def delete(self, path: str, /, **query: Any) -> Any:
        return self._call("DELETE", path, query=query)

    def speak_for(self, user: str) -> None:
        """Say from now on who asks; nobody where it is empty. UsageError for what is no name."""
        if not user.isprintable() or len(user) > MOST_USER:
            raise click.UsageError(f"--user: expected a name of up to {MOST_USER} printable characters")
        if user:
            self._http.headers = httpx2.Headers([*self._http.headers.raw, (b"x-user-id", user.encode())])

    def pieces(self, path: str, /, **query: Any) -> Iterator[bytes]:
        """The bytes of a download, as they come."""
        try:
            with self._http.stream("GET", path, params=query) as response:
                if response.is_error:
                    response.read()
                yield from _checked(response).iter_bytes()
        except httpx2.TransportError as exc:
            raise self._silent(exc) from exc

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str], body: Any = None) -> Iterator[httpx2.Response]:
        """A response that is read as it comes, to a GET, or to a POST of `body`. Errors of reading it are Silent too."""
        method = "GET" if body is None else "POST"
        try:
            with self._http.stream(method, path, headers={"accept": "text/event-stream", **headers}, json=body) as response:
                if response.is_error:
                    response.read()
                yield _checked(response)
        except httpx2.TransportError as exc:
            raise self._silent(exc) from exc

    def health(self) -> dict[str, Any] | None:
        """What `/health` says; None where nothing listens. Silent where something else than agentrt answers."""
        try:
            response = self._http.get("/health", timeout=5)
        except httpx2.ConnectError:
            return None
        except httpx2.TransportError as exc:
            raise self._silent(exc) from exc
        body = _json(response)
        if not isinstance(body, dict) or body.get("service") != "agentrt":
            raise Silent(f"what answers at {self.url} is not agentrt: name the server with --url or AGENTRT_URL")
        return body

    def _call(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        params = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            response = self._http.request(method, path, params=params, json=body)
        except httpx2.TransportError as exc:
            raise self._silent(exc) from exc
        return _json(_checked(response))

    def _silent(self, exc: httpx2.TransportError) -> Silent:
        if isinstance(exc, httpx2.ConnectError):
            return Silent(
                f"no server answers at {self.url}: start one with `agentrt serve`, or name it with --url or AGENTRT_URL"
            )
        if isinstance(exc, httpx2.TimeoutException):
            return Silent(f"the server at {self.url} did not answer in time")
        if isinstance(exc, httpx2.UnsupportedProtocol | httpx2.InvalidURL):
            return Silent(f"{self.url} is not the address of a server")
        return Silent(f"the connection to {self.url} broke before the answer was there")


def _checked(response: httpx2.Response) -> httpx2.Response:
    """`response`, unless it is an error: then Refused with its own sentence, whichever of the two error bodies it has."""
    if not response.is_error:
        return response
    body = _json(response)
    detail: Any = None
    if isinstance(body, dict):
        error = body.get("error")
        detail = error.get("message") if isinstance(error, dict) else body.get("detail") or body.get("title")
    raise Refused(str(detail or f"the server answered {response.status_code} {response.reason_phrase}"), response.status_code)


def _json(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
