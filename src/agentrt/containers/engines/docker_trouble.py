"""What is wrong with a container engine, in one sentence."""

import errno
from typing import TYPE_CHECKING

import structlog

from agentrt.kernel import AgentrtError, Invalid

from ..errors import EngineUnavailable, ImageMissing
from .engine import BoxSpec

if TYPE_CHECKING:
    from aiodocker import DockerError

_SENTENCES = {
    errno.ENOENT: "There is no container engine at the configured address: install Docker (package docker.io), or start it.",
    errno.ECONNREFUSED: "Nothing listens at the container engine's address: start it, or correct docker_url.",
    errno.EACCES: "This user may not use the container engine: add it to the group docker, or run as root.",
    errno.EPERM: "This user may not use the container engine: add it to the group docker, or run as root.",
}
_LOST = "The connection to the container engine was lost: look whether it runs."

_NO_COMMAND = ("executable file", "no such file or directory", "permission denied")

log = structlog.get_logger()


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
    said = error.message.lower()
    if error.status == 404 and "image" in said:
        return ImageMissing(f"There is no image {spec.image}: make one with `agentrt image build`.")
    if any(words in said for words in _NO_COMMAND):
        return Invalid("The image has no such command, or it cannot be executed.", param="command")
    if "runtime" in said and error.status in (400, 404):
        return Invalid("The container engine has no such runtime.", param="runtime")
    return failure(error)
