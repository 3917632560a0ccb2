"""Why the settings cannot be used.

* Invalid
  x SettingsInvalid   a setting is unknown, or its value cannot be used; the message begins with where it was written
"""

from collections.abc import Iterable
from difflib import get_close_matches

from agentrt.kernel import Invalid


class SettingsInvalid(Invalid):
    """A setting is unknown, or its value cannot be used; the message begins with where it was written."""

    default_code = "invalid_settings"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'port'?)`, or nothing where no known word is near."""
    near = get_close_matches(word, list(known), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""
