"""The official SDKs' clients, made as an entry says. Imported where an entry says `client: sdk`, and nowhere else: the SDKs
cost a second of CPU and a hundred megabytes."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, assert_never, cast

import httpx2

from .entry import ProviderEntry
from .sdk_options import AnthropicSdk, AzureSdk, BedrockSdk, GeminiSdk, OpenAISdk, VertexSdk, sdk_of
from .wires import Wire

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from anthropic.lib.bedrock import AsyncAnthropicBedrock
    from anthropic.lib.vertex import AsyncAnthropicVertex
    from openai import AsyncAzureOpenAI, AsyncOpenAI

    from .sdk_gemini import GenaiClient

    SdkClient = AsyncOpenAI | AsyncAzureOpenAI | AsyncAnthropic | AsyncAnthropicBedrock | AsyncAnthropicVertex | GenaiClient

_AZURE_SCOPE = "https://cognitiveservices.azure.com/.default"


def client_of(entry: ProviderEntry) -> "SdkClient":
    """A client that asks once, follows no redirect and knows no time limit of its own. Blocks for up to two seconds.

    Raises what the SDK raises where something is missing, and ImportError where that is a package.
    """
    options = sdk_of(entry.wire, entry.sdk)
    http: dict[str, Any] = {
        "verify": ssl.create_default_context(),
        "limits": httpx2.Limits(max_connections=entry.max_connections, max_keepalive_connections=100, keepalive_expiry=30),
        "proxy": entry.proxy,
        "timeout": None,
        "trust_env": False,
    }
    if entry.wire == "gemini" and isinstance(options, GeminiSdk | VertexSdk):
        from .sdk_gemini import genai_client

        return genai_client(entry, http, _key(entry))
    common: dict[str, Any] = {
        "max_retries": 0,
        "default_headers": {"Accept-Encoding": "identity"} | entry.headers,  # compression delays an event stream
        "http_client": httpx2.AsyncClient(**http),
    }
    match options:
        case OpenAISdk() | AzureSdk():
            return _openai(entry, options, common)
        case AnthropicSdk() | BedrockSdk() | VertexSdk():
            return _anthropic(entry, options, common)
        case GeminiSdk():
            raise AssertionError("it speaks no other wire")
        case _:
            assert_never(options)


def refusal_in(exc: Exception, wire: Wire) -> httpx2.Response | None:
    """The answer with another status than 200 that the SDK made an error of; None where there was no answer."""
    if wire == "gemini":
        return None  # there every answer is one
    if wire != "anthropic":
        from openai import APIStatusError
    else:
        from anthropic import APIStatusError
    return exc.response if isinstance(exc, APIStatusError) else None


def _openai(entry: ProviderEntry, options: OpenAISdk | AzureSdk, common: dict[str, Any]) -> "SdkClient":
    import openai

    # with every request the SDK takes it from the modules that are loaded, half loaded where another SDK is importing it then
    with suppress(ImportError):
        import_module("httpx")
    if isinstance(options, OpenAISdk):
        return openai.AsyncOpenAI(api_key=_key(entry), base_url=entry.url, **options.given, **common)
    if options.azure_ad:
        common["azure_ad_token_provider"] = _azure_sign_in()
    elif entry.api_key:
        common["api_key"] = entry.api_key
    return openai.AsyncAzureOpenAI(azure_endpoint=entry.base_url, **options.given, **common)  # pyright: ignore[reportArgumentType]  # None: from the environment


def _anthropic(entry: ProviderEntry, options: AnthropicSdk | BedrockSdk | VertexSdk, common: dict[str, Any]) -> "SdkClient":
    import anthropic

    match options:
        case AnthropicSdk():
            headers = {"anthropic-version": entry.version} | common.pop("default_headers")
            key = None if options.given else _key(entry)
            return anthropic.AsyncAnthropic(api_key=key, base_url=entry.url, default_headers=headers, **options.given, **common)
        case BedrockSdk():
            from anthropic.lib.bedrock import AsyncAnthropicBedrock

            return AsyncAnthropicBedrock(
                api_key=entry.api_key or None, base_url=entry.base_url or None, **options.given, **common
            )
        case VertexSdk():
            from anthropic.lib.vertex import AsyncAnthropicVertex

            return AsyncAnthropicVertex(base_url=entry.base_url or None, **options.given, **common)
        case _:
            assert_never(options)


def _key(entry: ProviderEntry) -> str | None:
    """None: from where the SDK always looks. To another address than its maker's it must not send what it finds there; who
    runs a server without keys does not look at this one."""
    return entry.api_key or ("none" if entry.base_url else None)


def _azure_sign_in() -> Callable[[], Awaitable[str]]:
    from azure.identity import (  # pyright: ignore[reportMissingImports]  # only who signs in so needs it
        DefaultAzureCredential,
        get_bearer_token_provider,
    )

    token = cast("Callable[[], str]", get_bearer_token_provider(DefaultAzureCredential(), _AZURE_SCOPE))

    async def signed_in() -> str:
        return await asyncio.to_thread(token)  # it may ask the network, or a program

    return signed_in
