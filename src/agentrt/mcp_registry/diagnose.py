"""Why a server cannot be reached, in words that help: for the log, `agentrt doctor` and `GET /mcp-servers`."""

import asyncio
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit, urlunsplit

import msgspec

from agentrt.kernel import Invalid, Principal

from .sdk import Sdk, load
from .spec import McpServerSpec
from .target import HttpTarget, Target, redactor, shown_url, target_of

_PROBE_S = 5.0
_HABIT = "/mcp"
_HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "agentrt", "version": "0"},
    },
}


class Diagnosis(msgspec.Struct, frozen=True):
    """What is wrong in one sentence, and what to do about it, where that is known."""

    problem: str
    suggestion: str = ""

    def __str__(self) -> str:
        return f"{self.problem}; {self.suggestion}" if self.suggestion else self.problem


class _Answer(msgspec.Struct, frozen=True):
    status: int
    kind: str

    @property
    def speaks_mcp(self) -> bool:
        return self.status in (200, 202, 400) and ("json" in self.kind or "event-stream" in self.kind)

    @property
    def wants_credentials(self) -> bool:
        return self.status in (401, 403)


async def examine(spec: McpServerSpec, env: Mapping[str, str]) -> Diagnosis | None:
    """Look at a server without using it: is the command there, does the address answer as MCP. None: nothing is wrong.

    A command is not started.
    """
    try:
        target = target_of(spec, Principal(), env)
    except Invalid as exc:
        return Diagnosis(exc.message)
    if not isinstance(target, HttpTarget):
        return None
    return await _ask(target, await asyncio.to_thread(load))


async def explain(target: Target | None, failure: BaseException | None, said: tuple[str, ...]) -> Diagnosis:
    """Why a connection failed, or broke. `said` is the end of what a started command wrote to standard error."""
    if isinstance(failure, Invalid):
        return Diagnosis(failure.message)
    problem = _in_words(failure) if failure else "it went away"
    if target is None:
        return Diagnosis(problem)
    redact = redactor(target.secrets)
    if isinstance(target, HttpTarget):
        return await _ask(target, load()) or Diagnosis(redact(problem))
    last = next((line.strip() for line in reversed(said) if line.strip()), "")
    return Diagnosis(redact(f"{problem}; it last wrote: {last[:300]}" if last else problem))


def _in_words(failure: BaseException) -> str:
    causes = list(_leaves(failure))
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return "it did not answer in time"
    if any(str(cause) == "Connection closed" for cause in causes):
        return "it ended before it answered"
    if os_errors := [cause for cause in causes if isinstance(cause, OSError) and cause.strerror]:
        return f"it cannot be started: {os_errors[0].strerror}"
    return "; ".join(dict.fromkeys(str(cause) or type(cause).__name__ for cause in causes))[:500]


def _leaves(failure: BaseException) -> Iterator[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        for inner in failure.exceptions:
            yield from _leaves(inner)
    else:
        yield failure


async def _ask(target: HttpTarget, sdk: Sdk) -> Diagnosis | None:
    """Put the first question of the protocol to the address by plain HTTP and read the answer as a person would."""
    httpx = sdk.httpx
    async with httpx.AsyncClient(headers=target.headers, timeout=_PROBE_S) as client:
        try:
            answer = await _probe(client, target.url)
        except httpx.ConnectTimeout:
            return Diagnosis(
                f"{target.shown} cannot be reached: no connection in {_PROBE_S:g} s", "check host, port and firewall"
            )
        except httpx.TimeoutException:
            return Diagnosis(f"{target.shown} accepts the connection but does not answer", "is it an MCP server?")
        except httpx.ConnectError as exc:
            return _no_connection(target.shown, str(exc))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
            return Diagnosis(f"{target.shown} does not speak HTTP: {type(exc).__name__}", "check scheme, host and port")
        better = "" if answer.speaks_mcp or answer.wants_credentials else await _better(client, target.url, httpx)
    return _read(target.shown, answer, better)


async def _probe(client, url: str) -> _Answer:
    headers = {"accept": "application/json, text/event-stream"}
    async with client.stream("POST", url, json=_HELLO, headers=headers) as response:
        answer = _Answer(response.status_code, response.headers.get("content-type", "").lower())
        session = response.headers.get("mcp-session-id")
    if session:
        await client.delete(url, headers={"mcp-session-id": session})
    return answer


async def _better(client, url: str, httpx) -> str:
    """The address with the usual path, where the one given has another and that one answers as MCP."""
    parts = urlsplit(url)
    if parts.path.rstrip("/").endswith(_HABIT):
        return ""
    for path in dict.fromkeys((_HABIT, parts.path.rstrip("/") + _HABIT)):
        other = urlunsplit(parts._replace(path=path))
        try:
            answer = await _probe(client, other)
            if answer.speaks_mcp or answer.wants_credentials:
                return shown_url(other)
        except httpx.HTTPError:
            return ""
    return ""


def _no_connection(shown: str, detail: str) -> Diagnosis:
    low = detail.lower()
    if "name or service" in low or "nodename" in low or "resolution" in low or "no address" in low:
        return Diagnosis(f"the host of {shown} is not known", "check its spelling")
    if "certificate" in low or "ssl" in low:
        return Diagnosis(f"{shown} has no TLS certificate that is trusted here", "is it http:// rather than https://?")
    return Diagnosis(f"nothing answers at {shown}: the connection was refused", "is the server running, and is the port right?")


def _read(shown: str, answer: _Answer, better: str) -> Diagnosis | None:
    did_you_mean = f"did you mean {better} ?" if better else ""
    status = answer.status
    if answer.wants_credentials:
        told = 'it wants credentials; give them as headers, such as Authorization: "Bearer ${TOKEN}"'
        return Diagnosis(f"{shown} answers {status}", told)
    if status == 404:
        return Diagnosis(f"{shown} answers 404", did_you_mean or "is the path right? it is often /mcp")
    if status == 405:
        return Diagnosis(f"{shown} answers 405: it takes no POST", did_you_mean or "is the path right? it is often /mcp")
    if status == 406:
        older = "it seems to speak another transport than streamable HTTP; is there an address ending in /mcp?"
        return Diagnosis(f"{shown} answers 406", did_you_mean or older)
    if status == 421:
        return Diagnosis(f"{shown} answers 421", "the server does not expect to be called by that host name; allow it there")
    if status >= 500:
        return Diagnosis(f"{shown} answers {status}: the server has a problem of its own", did_you_mean)
    if answer.speaks_mcp:
        return None
    what = "a web page" if "html" in answer.kind else f"{status} and {answer.kind or 'nothing'}"
    return Diagnosis(f"{shown} answers with {what}, not with MCP", did_you_mean or "is the path right? it is often /mcp")
