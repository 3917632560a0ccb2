from .parts import File, Image, Message, Part, Role, Text, Thinking, ToolCall, ToolResult, gap, has_attachments, says
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
    "has_attachments",
    "says",
]
