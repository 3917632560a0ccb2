"""What aiohttp raises, in one sentence about the provider. Imported with aiohttp only."""

import ssl

import aiohttp

from .entry import ProviderEntry
from .errors import ModelFailure


def explained(exc: Exception, provider: str, entry: ProviderEntry, *, answering: bool) -> ModelFailure | None:
    """The failure that `exc` stands for; None where it is not the network's. `answering`: the head had already come."""
    match exc:
        case aiohttp.ClientConnectorCertificateError():
            return _final(provider, f"the TLS certificate of {exc.host} is not trusted", "connection")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return _final(provider, "no TLS connection could be made; is it http instead of https?", "connection")
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return _final(provider, "its base URL is not an http address", "invalid_request")
        case aiohttp.ClientConnectorDNSError():
            return _lost(provider, f"the host name {exc.host} cannot be resolved")
        case aiohttp.ClientProxyConnectionError():
            return _lost(provider, "the proxy cannot be reached")
        case aiohttp.ConnectionTimeoutError():
            return _lost(provider, f"no connection within {entry.connect_s:g} s", "timeout")
        case aiohttp.ClientConnectorError():
            return _lost(provider, _os_words(exc.os_error, f"{exc.host}:{exc.port}"))
        case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError() | OSError():
            when = "in the middle of the answer" if answering else "without an answer"
            return _lost(provider, f"the connection was closed {when}")
        case aiohttp.ClientError():
            return _final(provider, "it does not speak HTTP as expected", "malformed")
        case _:
            return None


def _lost(provider: str, why: str, code: str = "connection") -> ModelFailure:
    return ModelFailure(f"{provider}: {why}", code=code, retryable=True)


def _final(provider: str, why: str, code: str) -> ModelFailure:
    return ModelFailure(f"{provider}: {why}", code=code)


def _os_words(error: OSError, where: str) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"{where} refused the connection"
    return f"{where} cannot be reached ({error.strerror or type(error).__name__})"
