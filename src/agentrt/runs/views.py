"""What the runs API takes and shows."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agentrt.agents import Mode, SessionSource
from agentrt.events import CallerAsk
from agentrt.messages import Message

from .state import Status


class StartRun(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a new run. `messages` are as the caller sent them, and may repeat what the session knows.

    `model` overrides the agent's chain. `passthrough` means a bare model: no agent's prompt, no tools of ours.
    """

    messages: tuple[Message, ...]
    agent: str | None = None
    model: str | None = None
    mode: Mode | None = None
    session_id: str | None = None
    session_source: SessionSource = "header"
    parent_run_id: str | None = None
    passthrough: bool = False
    ask: CallerAsk = CallerAsk()
    metadata: dict[str, Any] = {}
    ignored: tuple[str, ...] = ()
    idempotency_key: str = ""
    body_hash: str = ""


class RunRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /runs`. `input` is the user's message; or `messages`, a whole conversation."""

    mode: Mode | None = None
    input: str | None = None
    messages: list["InputMessage"] | None = None
    agent: str | None = None
    model: str | None = None
    session_id: str | None = None
    metadata: dict[str, Any] = {}
    stream: bool = False


class InputMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message of a conversation, by text."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str


class RunError(msgspec.Struct, frozen=True):
    code: str
    message: str


class RunOutput(msgspec.Struct, frozen=True):
    text: str


class RunUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of all model calls so far, failed ones included; what is cached, written to a cache, reasoning, sound or images is
    among the input and output. `cache_hit_ratio`: the share of the input that was read from a cache; null without input.
    `estimated`: at least one provider gave no figures."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    cache_hit_ratio: float | None = None
    estimated: bool = False


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run as HTTP shows it. `cost_usd` is null where the price of any of its model calls is unknown."""

    id: str
    object: str = "run"
    status: Status
    mode: Mode
    agent: str
    agent_version: str
    model: str
    provider: str
    session_id: str
    parent_run_id: str | None
    input: str
    output: RunOutput | None
    usage: RunUsage
    cost_usd: float | None
    error: RunError | None
    finish_reason: str | None
    metadata: dict[str, Any]
    created_at: str
    started_at: str | None
    ended_at: str | None


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    object: str = "list"
    data: list[RunView]
    has_more: bool
    first_id: str | None
    last_id: str | None


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list, newest first unless `order` is `asc`; `after` and `before` are run ids. With `before` alone the page
    is the one that ends right before it."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None
    before: str | None = None
    status: Status | None = None
    agent: str | None = None
    session_id: str | None = None

    @property
    def backwards(self) -> bool:
        return bool(self.before) and not self.after


class FailedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """A try at a model that gave no answer. `next` is the model that was asked after it, where that is another one; `usage`
    and `cost_usd` are what it took at least; a cost of null is unknown."""

    model: str
    error: RunError
    duration_ms: float
    next: str | None
    usage: RunUsage | None
    cost_usd: float | None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One model call or tool call of a run, with its times. `failed_attempts` are those that came before its outcome;
    `usage` and `cost_usd` are without theirs. A cost of null is unknown, or that of a tool."""

    object: str = "run.step"
    index: int
    type: Literal["model", "tool"]
    status: Literal["running", "completed", "failed"]
    name: str
    call_id: str | None = None
    arguments: str | None = None
    usage: RunUsage | None = None
    cost_usd: float | None = None
    attempts: int = 1
    failed_attempts: tuple[FailedAttempt, ...] = ()
    error: RunError | None = None
    started_at: str
    ended_at: str | None = None
    duration_ms: float | None = None
    first_token_ms: float | None = None


class ArtifactView(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a tool call of the run made: its bytes are at `/v1/files/{file}/content`; `name` is its path in the
    workspace."""

    object: str = "run.artifact"
    file: str
    name: str
    media_type: str
    size: int
    call_id: str | None
    created_at: str


class ArtifactPage(msgspec.Struct, frozen=True, kw_only=True):
    """All of them. `first_id` and `last_id` are files."""

    object: str = "list"
    data: list[ArtifactView]
    has_more: bool = False
    first_id: str | None
    last_id: str | None


class StepPage(msgspec.Struct, frozen=True, kw_only=True):
    """All of them. Steps have no ids."""

    object: str = "list"
    data: list[Step]
    has_more: bool = False
    first_id: None = None
    last_id: None = None
