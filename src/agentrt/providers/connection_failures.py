"""Why no answer came over the network, and the sentence about the provider that it makes.

* HttpFailure
  x BadAddress       the address or a header is not one for HTTP
  x Unreachable      no connection came about; `reason` is what the system said
  x Broken           the connection ended before the answer did
  x NotHttp          what came is not an answer as HTTP has it
  x NoCredentials    nothing was asked: what opens the provider could not be had
"""

import socket
import ssl

from .errors import ModelFailure


class HttpFailure(Exception):
    """The network gave no whole answer."""


class BadAddress(HttpFailure):
    """No request can be made of this; the message says of what."""

    def __init__(self, why: str = "its base URL is not an http address, such as http://127.0.0.1:8000") -> None:
        super().__init__(why)


class Unreachable(HttpFailure):
    """No connection to `where` came about."""

    def __init__(self, where: str, reason: Exception) -> None:
        super().__init__(where)
        self.where, self.reason = where, reason


class Broken(HttpFailure):
    """The connection ended before the answer did, whoever closed it."""


class NotHttp(HttpFailure):
    """What came is not an answer as HTTP has it; the message, where there is one, says why."""


class NoCredentials(HttpFailure):
    """What opens the provider could not be had; the message says why."""


def explained(failure: HttpFailure, provider: str, *, connect_s: float, answering: bool) -> ModelFailure:
    """The failure in words for a person. `answering`: the head had already come."""
    match failure:
        case BadAddress():
            return _final(provider, str(failure), "connection")  # no fault of what was asked: another provider may answer
        case Unreachable():
            return _unreachable(provider, failure.where, failure.reason, connect_s)
        case NoCredentials():
            return _final(provider, str(failure), "authentication")
        case NotHttp():
            return _final(provider, str(failure) or "it does not speak HTTP as expected", "malformed")
        case _:
            when = "in the middle of the answer" if answering else "without an answer"
            return _lost(provider, f"the connection was closed {when}")


def _unreachable(provider: str, where: str, reason: Exception, connect_s: float) -> ModelFailure:
    host = where.rpartition(":")[0] or where
    match reason:
        case ssl.SSLCertVerificationError():
            return _final(provider, f"the TLS certificate of {host} is not trusted", "connection")
        case ssl.SSLError():
            return _final(provider, "no TLS connection could be made; is it http instead of https?", "connection")
        case socket.gaierror():
            return _lost(provider, f"the host name {host} cannot be resolved")
        case TimeoutError():
            return _lost(provider, f"no connection within {connect_s:g} s", "timeout_connect")
        case ConnectionRefusedError():
            return _lost(provider, f"{where} refused the connection")
        case OSError() if reason.strerror:
            return _lost(provider, f"{where} cannot be reached ({reason.strerror})")
        case _:
            return _lost(provider, f"{where} cannot be reached ({type(reason).__name__})")


def _lost(provider: str, why: str, code: str = "connection") -> ModelFailure:
    return ModelFailure(f"{provider}: {why}", code=code, retryable=True)


def _final(provider: str, why: str, code: str) -> ModelFailure:
    return ModelFailure(f"{provider}: {why}", code=code)
