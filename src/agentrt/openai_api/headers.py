"""What the headers of a chat request say, and those of its answer. Pure."""

import re
from collections.abc import Iterable, Mapping

from agentrt.agents import SessionRule, SessionSource
from agentrt.kernel import Invalid

RawHeaders = Iterable[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
EVENT_STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
_UNSAFE = re.compile(r"[^\w.\[\]-]", re.ASCII)
_MOST_NAMES = 40


class Headers:
    """The headers that matter to a chat; of a header that comes twice the last one counts."""

    def __init__(self, raw: RawHeaders) -> None:
        self._by_name = dict(raw)

    def text(self, name: bytes) -> str:
        value = self._by_name.get(name)
        return "" if value is None else value.decode("latin-1").strip()

    @property
    def wants_events(self) -> bool:
        return self.text(b"x-agentrt-events").lower() in ("true", "1")

    @property
    def goes_on_alone(self) -> bool:
        """Whether the run outlives a caller that hangs up. Invalid for a word that is none of the two."""
        word = self.text(b"x-on-disconnect").lower()
        if word not in ("", "cancel", "continue"):
            raise Invalid("X-On-Disconnect is 'cancel' or 'continue'.", code="invalid_value", param="X-On-Disconnect")
        return word == "continue"

    def session(self, rule: SessionRule, metadata: Mapping[str, str], user: str) -> tuple[str | None, SessionSource]:
        """The session that this request names, and where, in the order that the agent's rule gives. Never guessed.

        Open WebUI's chat id counts as a header, but stands back behind the names that were chosen on purpose.
        """
        header = self.text(b"x-session-id") or self.text(b"x-conversation-id")
        found = {"header": header, "metadata": metadata.get("session_id", ""), "user": ""}
        for source in rule.sources:
            if found[source]:
                return found[source], source
        if "header" in rule.sources and (chat := self.text(b"x-openwebui-chat-id")):
            return chat, "header"
        return (user, "user") if user and "user" in rule.sources else (None, "header")


def dollars(cost_usd: float) -> str:
    """An amount as a plain decimal number."""
    return f"{cost_usd:.12f}".rstrip("0").rstrip(".")


def header_list(names: Iterable[str]) -> bytes:
    """Names of parameters as one header value; a caller's own names cannot smuggle anything into it."""
    unique = list(dict.fromkeys(_UNSAFE.sub("?", name[:64]) for name in names))
    more = ["..."] if len(unique) > _MOST_NAMES else []
    return ", ".join(unique[:_MOST_NAMES] + more).encode()
