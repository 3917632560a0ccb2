from collections.abc import Sequence
from difflib import get_close_matches


def suggest(word: str, known: Sequence[str]) -> str:
    """` (did you mean 'x'?)`, or nothing where no known word is close or begins with this one."""
    swapped = [name for name in known if sorted(name) == sorted(word)]  # `modle` is `model` rather than `mode`
    begun = [name for name in known if len(word) > 2 and name.startswith(word)]
    close = swapped or get_close_matches(word, known, 1) or begun
    return f" (did you mean '{close[0]}'?)" if close else ""
