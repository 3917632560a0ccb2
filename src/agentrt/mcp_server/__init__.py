from .module import McpServer

__all__ = ["McpServer"]
