from .arguments import parse_arguments
from .box import Offer, ToolBox
from .builtin import BuiltinTools
from .errors import ToolTimedOut, ToolUnavailable
from .source import Artifact, CallContext, Output, ToolDef, ToolSource

__all__ = [
    "Artifact",
    "BuiltinTools",
    "CallContext",
    "Offer",
    "Output",
    "ToolBox",
    "ToolDef",
    "ToolSource",
    "ToolTimedOut",
    "ToolUnavailable",
    "parse_arguments",
]
