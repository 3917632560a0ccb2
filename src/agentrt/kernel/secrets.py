"""`${VAR}` and `${VAR:-default}` in operators' files, and `NAME_FILE` for secrets in files."""

import re
from collections.abc import Mapping
from pathlib import Path

from .errors import Invalid

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def lookup(env: Mapping[str, str], name: str) -> str | None:
    """The value of `name`, or the content of the file that `NAME_FILE` names; None where neither is set."""
    if value := env.get(name):
        return value
    if path := env.get(f"{name}_FILE"):
        try:
            return Path(path).read_text().strip() or None
        except OSError as exc:
            raise Invalid(f"{name}_FILE names a file that cannot be read: {exc.strerror}") from exc
    return None


def expand(text: str, env: Mapping[str, str]) -> str:
    """`text` with every reference replaced; Invalid names a variable that is neither set nor given a default."""

    def replace(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        value = lookup(env, name)
        if value is None and default is None:
            raise Invalid(f"the environment variable {name} is not set", code="variable_not_set")
        return default if value is None else value

    return _REFERENCE.sub(replace, text)


def names_in(text: str) -> set[str]:
    """The variables that `text` refers to."""
    return {match[1] for match in _REFERENCE.finditer(text)}
