from .abilities import Abilities
from .choice import Choice
from .client import Chunk, Done, ModelAsk, ModelClient, Retrying
from .embedding import Embedded
from .entry import HOW_TO_CONFIGURE, ProviderEntry, entries_from, own_wires
from .errors import ModelFailure
from .estimate import used_at_least
from .facts import ModelFacts
from .fitness import forces_call
from .offline_rules import OfflineRules
from .price import Price, cost_of
from .routing import Chain, Request, Route
from .service import ModelInfo, Providers
from .unheeded import Wanted

__all__ = [
    "HOW_TO_CONFIGURE",
    "Abilities",
    "Chain",
    "Choice",
    "Chunk",
    "Done",
    "Embedded",
    "ModelAsk",
    "ModelClient",
    "ModelFacts",
    "ModelFailure",
    "ModelInfo",
    "OfflineRules",
    "Price",
    "ProviderEntry",
    "Providers",
    "Request",
    "Retrying",
    "Route",
    "Wanted",
    "cost_of",
    "entries_from",
    "forces_call",
    "own_wires",
    "used_at_least",
]
