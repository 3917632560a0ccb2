from .engine import INSTANCE_LABEL, BoxEnded, BoxSpec, BoxState, Engine, EngineStatus, FoundBox, Mount

__all__ = ["INSTANCE_LABEL", "BoxEnded", "BoxSpec", "BoxState", "Engine", "EngineStatus", "FoundBox", "Mount"]
