"""agentrt: a self-hosted agent runtime."""

__version__ = "0.1.0"
