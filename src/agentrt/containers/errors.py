"""Why code could not run.

* Unavailable
  x EngineUnavailable  no container engine answers, or it stopped answering
  x ImageMissing       the image is not there; the message says the command that makes it
  x ImageNotBuilt      the image could not be made; the message says why
* NotFound
  x SandboxGone        the sandbox was released, or never was
"""

from agentrt.kernel import NotFound, Unavailable


class EngineUnavailable(Unavailable):
    """No container engine answers, or it stopped answering."""

    default_code = "engine_unavailable"


class ImageMissing(Unavailable):
    """The image is not there; the message says the command that makes it."""

    default_code = "image_missing"


class ImageNotBuilt(Unavailable):
    """The image could not be made; the message says why."""

    default_code = "image_not_built"


class SandboxGone(NotFound):
    """The sandbox was released, or never was."""

    default_code = "sandbox_not_found"
