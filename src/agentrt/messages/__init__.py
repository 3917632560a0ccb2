from .parts import File, Image, Message, Part, Role, Text, Thinking, ToolCall, ToolResult, gap, says
from .usage import Usage

__all__ = [
    "File",
    "Image",
    "Message",
    "Part",
    "Role",
    "Text",
    "Thinking",
    "ToolCall",
    "ToolResult",
    "Usage",
    "gap",
    "says",
]
