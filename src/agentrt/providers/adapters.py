"""Which class speaks a wire format. Each is imported when the first provider needs it: start-up pays for no other."""

from typing import assert_never

from .client import ProviderClient
from .entry import ProviderEntry
from .transport import Transport


def speaks(entry: ProviderEntry, transport: Transport) -> ProviderClient:
    """The client for an entry whose wire is in `ADAPTERS`."""
    match entry.wire:
        case "openai":
            from .openai_client import OpenAIClient

            return OpenAIClient(transport)
        case "anthropic":
            from .anthropic_client import AnthropicClient

            return AnthropicClient(transport)
        case "gemini":
            from .gemini_client import GeminiClient

            return GeminiClient(transport, entry.version)
        case "ollama":
            from .ollama_client import OllamaClient

            return OllamaClient(transport, entry.num_ctx)
        case "offline":
            raise AssertionError("the offline model is no provider")
        case _:
            assert_never(entry.wire)
