"""Which class speaks a wire format. Each is imported when the first provider needs it: start-up pays for no other."""

from typing import assert_never

from .client import ProviderClient
from .entry import ProviderEntry
from .transport import Transport


def speaks(entry: ProviderEntry, transport: Transport) -> ProviderClient:
    """The client that speaks the wire of `entry`, over `transport`."""
    match entry.wire:
        case "openai":
            from .openai_client import OpenAIClient

            return OpenAIClient(transport)
        case "openai_responses":
            from .responses_client import ResponsesClient

            return ResponsesClient(transport)
        case "anthropic":
            from .anthropic_client import AnthropicClient

            return AnthropicClient(transport, entry.version)
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
