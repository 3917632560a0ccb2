"""A tool's result for wires on which it can be nothing but text. Pure."""

import msgspec

from agentrt.messages import ToolResult


def result_text(result: ToolResult) -> str:
    """Its text, or what it has in its place; that it failed is said first."""
    text = result.text
    if not text and result.structured is not None:
        text = msgspec.json.encode(result.structured).decode()
    if not text and result.parts:
        text = "(see the attachment that follows)"
    return f"Error: {text}" if result.is_error else text
