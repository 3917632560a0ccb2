"""What is wrong with a container engine, in one sentence."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from agentrt.kernel import AgentrtError, Invalid

from ..errors import EngineUnavailable, ImageMissing
from .engine import BoxSpec

if TYPE_CHECKING:
    from aiodocker import DockerError

_CLOSED = "This user may not use the container engine: add it to the group docker and log in again, or run as root."
_SENTENCES = {
    errno.ENOENT: "No container engine is at its address: install Docker (package docker.io), start it, or set DOCKER_HOST.",
    errno.ECONNREFUSED: "Nothing listens at the container engine's address: start it, or correct docker_url.",
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
}
_NO_ADDRESS = "The address of the container engine (docker_url, DOCKER_HOST) must be unix:///PATH or tcp://HOST:PORT."
_NONSENSE = "What answers at the container engine's address does not speak as one: correct docker_url, or look after it."
_LOST = "The connection to the container engine was lost: look whether it runs."

_OVER_TCP = ("tcp", "http", "https")
NONSENSE = (LookupError, TypeError, AttributeError, ValueError)
"""What reading such answers ends in."""
_NO_COMMAND = ("executable file", "no such file or directory", "permission denied")

log = structlog.get_logger()


def check_address(url: str) -> None:
    """EngineUnavailable for what is no address, or none that an engine which shares this machine's files can have."""
    try:
        parts = urlsplit(url)
        fine = parts.path if parts.scheme == "unix" else parts.scheme in _OVER_TCP and parts.hostname and parts.port
    except ValueError:
        fine = False
    if not fine:
        raise EngineUnavailable(_NO_ADDRESS)


@contextmanager
def making_sense() -> Iterator[None]:
    """EngineUnavailable where what answers does not say what an engine says."""
    try:
        yield
    except NONSENSE as error:
        log.warning("engine.nonsense", said=repr(error))
        raise EngineUnavailable(_NONSENSE) from error


def trouble(error: BaseException | None) -> EngineUnavailable:
    """The sentence for an error of a connection, found in it or in what led to it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _SENTENCES:
            return EngineUnavailable(_SENTENCES[error.errno])
        error = error.__cause__ or error.__context__
    return EngineUnavailable(_LOST)


def failure(error: "DockerError") -> EngineUnavailable:
    """An engine that answers, and does not do what it always does."""
    log.warning("engine.failed", status=error.status, said=error.message)
    return EngineUnavailable("The container engine failed; the server's log says why.")


def refusal(error: "DockerError", spec: BoxSpec) -> AgentrtError:
    """Why an engine did not start a box."""
    said = str(error.message).lower()
    if error.status == 404 and "image" in said:
        return ImageMissing(f"There is no image {spec.image}: make one with `agentrt image build`.")
    if any(words in said for words in _NO_COMMAND):
        return Invalid("The image has no such command, or it cannot be executed.", param="command")
    if "runtime" in said and error.status in (400, 404):
        return Invalid("The container engine has no such runtime.", param="runtime")
    return failure(error)
