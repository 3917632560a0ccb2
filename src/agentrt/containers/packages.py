"""Python packages for a workspace: from the operator's folder of wheels, or through an upstream that is an index."""

import re
from collections.abc import Mapping

from agentrt.agents import SandboxRule
from agentrt.kernel import Invalid

from .egress import INDEX, base_url
from .runner import COMMAND, Job
from .spec import Limits, Upstream
from .tool_defs import MOST_PACKAGES, PACKAGES

WHEELS = "/wheels"
MOST_NAME = 200
ENV = {"PIP_CONFIG_FILE": "/dev/null"}
PROGRAM = f"{COMMAND[2]}/agentrt_runner/installing.py"
_OPTIONS = (
    *("--disable-pip-version-check", "--no-input", "--no-cache-dir", "--no-color", "--progress-bar=off"),
    *("--retries=1", "--upgrade", "--only-binary=:all:"),
)

_REQUIREMENT = re.compile(
    r"(?!.*\.(?:whl|zip|tar|t[a-z]z|tar\.[a-z0-9]+)\Z)"  # a file
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[A-Za-z0-9._,-]+\])?(?:[=<>!~]=?=?[A-Za-z0-9.*+!_,<>=~-]+)?\Z"
)


class Packages:
    """`index_path` is that of the index at its upstream."""

    def __init__(self, wheels_dir: str, upstreams: Mapping[str, Upstream], index_path: str) -> None:
        self._wheels = bool(wheels_dir)
        self._index = f"{base_url(INDEX)}{index_path}" if INDEX in upstreams else ""

    def offered(self, rule: SandboxRule) -> bool:
        return rule.install and (self._wheels or self._reaches_index(rule))

    def job(self, rule: SandboxRule, packages: tuple[str, ...], limits: Limits, wall_s: float, aside: str) -> Job:
        """What installs them; what it leaves in the workspace if it is cut off begins with `aside`. Invalid for what names no
        package: no address, no folder, no option gets through."""
        if not 0 < len(packages) <= MOST_PACKAGES:
            raise Invalid(f"name between 1 and {MOST_PACKAGES} packages", code="invalid_package", param="packages")
        for package in packages:
            if len(package) > MOST_NAME or not _REQUIREMENT.match(package):
                what = f"{package[:80]!r} names no package; names are such as tabulate or rich==13.9.4"
                raise Invalid(what, code="invalid_package", param="packages")
        indexed = self._reaches_index(rule)
        source = [] if indexed else ["--no-index"]
        source += ["--find-links", WHEELS] if self._wheels else []
        return Job(
            mode="command",
            argv=("python3", "-I", PROGRAM, f"/workspace/{aside}", *_OPTIONS, *source, "--target", PACKAGES, *packages),
            # nothing in the workspace has a say in what is installed, or from where
            cwd="/",
            env={**ENV, **({"PIP_INDEX_URL": self._index} if indexed else {})},
            wall_s=wall_s,
            cpu_s=limits.cpu_s,
            output_bytes=limits.output_bytes,
        )

    def _reaches_index(self, rule: SandboxRule) -> bool:
        return bool(self._index) and INDEX in rule.upstreams
