"""Python packages for a workspace: from the operator's folder of wheels, or through an upstream that is an index."""

import re
from collections.abc import Mapping

from agentrt.agents import SandboxRule
from agentrt.kernel import Invalid

from .egress import environment
from .runner import Job
from .spec import Limits, Upstream
from .tool_defs import PACKAGES

WHEELS = "/wheels"
INDEX = "packages"
"""Name of the upstream that is an index of packages."""
MOST_NAME = 200
ENV = {"PYTHONPATH": PACKAGES, "TMPDIR": "/tmp"}

_REQUIREMENT = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[A-Za-z0-9._,-]+\])?(?:[=<>!~]=?=?[A-Za-z0-9.*+!_,<>=~-]+)?\Z"
)


class Packages:
    """`index_url` is where boxes reach the index through their proxy."""

    def __init__(self, wheels_dir: str, upstreams: Mapping[str, Upstream], index_url: str) -> None:
        self._wheels, self._index = bool(wheels_dir), index_url if INDEX in upstreams else ""

    def offered(self, rule: SandboxRule) -> bool:
        return rule.install and (self._wheels or self._reaches_index(rule))

    def job(self, rule: SandboxRule, packages: tuple[str, ...], limits: Limits) -> Job:
        """What installs them. Invalid for what names no package: no address, no folder, no option gets through."""
        for package in packages:
            if len(package) > MOST_NAME or not _REQUIREMENT.match(package):
                raise Invalid(f"{package[:80]!r} names no package", code="invalid_package", param="packages")
        indexed = self._reaches_index(rule)
        source = [] if indexed else ["--no-index"]
        source += ["--find-links", WHEELS] if self._wheels else []
        options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "--upgrade", "--only-binary=:all:"]
        return Job(
            mode="command",
            argv=("python3", "-m", "pip", "install", *options, *source, "--target", PACKAGES, *packages),
            env={**ENV, **({"PIP_INDEX_URL": self._index} if indexed else {}), **environment(rule)},
            wall_s=limits.wall_s,
            cpu_s=limits.cpu_s,
            output_bytes=limits.output_bytes,
        )

    def _reaches_index(self, rule: SandboxRule) -> bool:
        return bool(self._index) and INDEX in rule.upstreams
