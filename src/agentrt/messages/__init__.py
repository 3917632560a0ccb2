from .parts import File, Image, Message, Part, Role, Text, Thinking, ToolCall, ToolResult, says
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
    "says",
]
