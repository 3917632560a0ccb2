"""What is known of each provider: where it is, what opens it, which bare model ids are its own."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from agentrt.agents import Limits
from agentrt.kernel import Invalid, expand, lookup

from .sdk_options import AzureSdk, BedrockSdk, Sdk, VertexSdk, sdk_of, secrets_in
from .wires import WIRES, Wire, address, headers

Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class ProviderEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One provider of the settings.

    It is configured once it has a key, a base URL or an SDK's options. `models` are globs of the bare model ids that it
    claims. Times: `connect_s` for a connection, `first_token_s` until an answer begins, `idle_s` between two events
    of it, `total_s` for the whole answer. `api_version`: as the provider spells it (`v1`, `2023-06-01`); empty is the
    adapter's own. In OpenAI's dialect it is what Azure's deployments want in the query.
    `num_ctx`: the context in tokens that Ollama reserves for every call. `contexts`: by globs of models, the tokens that a
    request may have. `prefix`: whether its models go on from the beginning of an answer; unset: what is known of them.
    `image_urls`: whether it fetches images by itself; unset: as its wire format has it.
    `client`: whether our own HTTP carries the requests or the provider's official SDK, which `sdk` chooses and configures.
    """

    wire: Wire = "openai"
    client: Literal["native", "sdk"] = "native"
    sdk: Sdk | None = None
    base_url: str | None = None
    api_key: str | None = None
    headers: dict[str, str] = {}
    models: tuple[str, ...] = ()
    proxy: str | None = None
    api_version: str = ""
    num_ctx: Annotated[int, Meta(ge=1)] | None = None
    contexts: dict[str, Annotated[int, Meta(ge=1)]] = {}
    prefix: bool | None = None
    image_urls: bool | None = None
    connect_s: Seconds = 5
    first_token_s: Seconds = 120
    idle_s: Seconds = 120
    total_s: Seconds = 1800
    max_connections: Annotated[int, Meta(ge=1)] = 1000

    def __post_init__(self) -> None:
        """ValueError where no SDK speaks the wire, or one is configured that nobody uses."""
        if self.client == "sdk":
            sdk_of(self.wire, self.sdk)
        elif self.sdk is not None:
            raise ValueError("'sdk' needs 'client: sdk'")

    @property
    def configured(self) -> bool:
        return self.wire == "offline" or bool(self.api_key or self.base_url or self.sdk)

    @property
    def in_a_cloud(self) -> bool:
        """Whether somebody else than the model's maker runs it, with keys and addresses of its own."""
        return isinstance(self.sdk, AzureSdk | BedrockSdk | VertexSdk)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never show in a message: a provider may repeat a header in its complaint."""
        return tuple(s for s in (self.api_key, *self.headers.values(), *secrets_in(self.sdk)) if s and len(s) >= 6)

    @property
    def url(self) -> str:
        """Where requests go, without a slash at the end."""
        return address(self.wire, self.base_url)

    @property
    def inside(self) -> bool:
        """Whether its address is one that only this machine or its network knows."""
        return _is_inside(self.url)

    @property
    def version(self) -> str:
        """The version of the API to ask for; empty where the wire has none."""
        return self.api_version or WIRES[self.wire].api_version

    @property
    def request_headers(self) -> dict[str, str]:
        """What opens every request, with the key in it; the entry's own headers come last and win."""
        out = headers(self.wire, self.api_key, self.version)
        own = {name.lower() for name in self.headers}
        return {name: value for name, value in out.items() if name.lower() not in own} | self.headers

    @property
    def lists_own_models(self) -> bool:
        """Whether its models are asked of it: a custom address serves what nobody can know beforehand."""
        if self.in_a_cloud:
            return False  # they list what could be deployed, if anything
        return self.wire == "ollama" or (self.base_url is not None and self.url != WIRES[self.wire].url)

    def within(self, limits: Limits) -> "ProviderEntry":
        """The same with these limits, where they say something."""
        given = {f"{name}_s": value for name in limits.__struct_fields__ if (value := getattr(limits, name)) is not None}
        return msgspec.structs.replace(self, **given) if given else self

    def claims(self, model: str) -> bool:
        return any(fnmatchcase(model, glob) for glob in self.models)


@lru_cache(maxsize=256)  # asked in every call of a model
def _is_inside(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return True  # no address at all
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".internal", ".local", ".localhost"))


class WellKnown(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that needs no settings: the variables that configure it, and the bare ids that are its own."""

    wire: Wire
    keys: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def wanted(self) -> str:
        return " or ".join(self.keys + self.urls)


WELL_KNOWN: Mapping[str, WellKnown] = {
    "openai": WellKnown(
        wire="openai",
        keys=("OPENAI_API_KEY",),
        urls=("OPENAI_BASE_URL",),
        models=("gpt-*", "chatgpt-*", "codex-*", "ft:gpt-*", "o1*", "o3*", "o4*", "text-embedding-*"),
    ),
    "anthropic": WellKnown(wire="anthropic", keys=("ANTHROPIC_API_KEY",), urls=("ANTHROPIC_BASE_URL",), models=("claude-*",)),
    "gemini": WellKnown(
        wire="gemini",
        keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        urls=("GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"),
        models=("gemini-*", "gemma-*"),
    ),
    "ollama": WellKnown(wire="ollama", urls=("OLLAMA_HOST",)),
    "offline": WellKnown(wire="offline"),
}


HOW_TO_CONFIGURE = (
    "set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY, OPENAI_BASE_URL for any server that speaks OpenAI's dialect, "
    "or OLLAMA_HOST"
)


def own_wires(given: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The settings of providers, not read yet: one with a well-known name that says no `wire` speaks its own."""
    return {name: ({"wire": WELL_KNOWN[name].wire} if name in WELL_KNOWN else {}) | dict(said) for name, said in given.items()}


def entries_from(env: Mapping[str, str], configured: Mapping[str, ProviderEntry]) -> dict[str, ProviderEntry]:
    """Every provider that has a name: the well-known ones as `env` configures them, overlaid with what the settings say.

    What an entry of the settings leaves open under a well-known name is filled from `env`, and so is `${NAME}` anywhere in
    it. Invalid where there is no such variable, or a `NAME_FILE` cannot be read.
    """
    entries = {name: _from_env(known, env) for name, known in WELL_KNOWN.items()}
    for name, entry in configured.items():
        entry = _expanded(name, entry, env)
        entries[name] = _overlay(entry, entries[name]) if name in entries else entry
    return entries


def _expanded(name: str, entry: ProviderEntry, env: Mapping[str, str]) -> ProviderEntry:
    def filled(value: Any) -> Any:
        match value:
            case str():
                return expand(value, env)
            case dict():
                return {key: filled(each) for key, each in value.items()}
            case _:
                return value

    try:
        return msgspec.convert(filled(msgspec.to_builtins(entry)), ProviderEntry)
    except Invalid as exc:
        raise Invalid(f"providers.{name} in the settings: {exc}", code=exc.code) from exc


def _from_env(known: WellKnown, env: Mapping[str, str]) -> ProviderEntry:
    key = next((value for name in known.keys if (value := lookup(env, name))), None)
    url = next((value for name in known.urls if (value := lookup(env, name))), None)
    return ProviderEntry(wire=known.wire, api_key=key, base_url=url, models=known.models)


def _overlay(entry: ProviderEntry, under: ProviderEntry) -> ProviderEntry:
    if WIRES[entry.wire].url != WIRES[under.wire].url:
        return entry  # another service
    if entry.in_a_cloud:
        return msgspec.structs.replace(entry, models=entry.models or under.models)
    # A key from the environment belongs to the address that the environment names, not to another one.
    own_address = entry.base_url is not None and entry.base_url != under.base_url
    return msgspec.structs.replace(
        entry,
        base_url=entry.base_url or under.base_url,
        api_key=entry.api_key or (None if own_address else under.api_key),
        models=entry.models or under.models,
    )
