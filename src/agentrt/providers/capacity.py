"""What is known of a model before it is asked: how much it can read, whether it goes on from the beginning of an answer. Pure."""

import re
from fnmatch import fnmatchcase

from .anthropic_models import abilities
from .entry import ProviderEntry

_CONTEXTS = (
    ("claude-", 200_000),
    ("gemini-", 1_048_576),
    ("gpt-3.5", 16_385),
    ("gpt-4.1", 1_047_576),
    ("gpt-4o", 128_000),
    ("gpt-4-turbo", 128_000),
    ("o1", 200_000),
    ("o3", 200_000),
    ("o4-mini", 200_000),
)
_GPT_5 = re.compile(r"gpt-5(?:\.[12])?(?![.\d])")


def context_of(entry: ProviderEntry, model: str) -> int | None:
    """Tokens that one request may have, answer included; None where nobody knows. What the entry says comes first."""
    for glob, tokens in entry.contexts.items():
        if fnmatchcase(model, glob):
            return tokens
    if entry.wire == "ollama":
        return entry.num_ctx
    if "claude-" in model and abilities(model).thinking == "adaptive":
        return 1_000_000
    if _GPT_5.match(model):
        return 400_000
    bare = model.rpartition("/")[2]
    return next((tokens for begin, tokens in _CONTEXTS if bare.startswith(begin)), None)


def takes_prefix(entry: ProviderEntry, model: str) -> bool:
    """Whether the model goes on from an assistant's message at the end of a conversation, rather than answering it."""
    if entry.prefix is not None:
        return entry.prefix
    if entry.wire == "anthropic":
        return abilities(model).thinking != "adaptive"  # these refuse it
    return entry.wire in ("gemini", "ollama")
