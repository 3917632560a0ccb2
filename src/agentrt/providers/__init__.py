from .choice import Choice
from .client import Chunk, Done, ModelAsk, ModelClient, Retrying
from .entry import ProviderEntry, entries_from
from .errors import ModelFailure
from .offline_rules import OfflineRules
from .service import ModelInfo, Providers
from .wires import ADAPTERS

__all__ = [
    "ADAPTERS",
    "Choice",
    "Chunk",
    "Done",
    "ModelAsk",
    "ModelClient",
    "ModelFailure",
    "ModelInfo",
    "OfflineRules",
    "ProviderEntry",
    "Providers",
    "Retrying",
    "entries_from",
]
