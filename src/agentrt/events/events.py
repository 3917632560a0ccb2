"""Everything that can happen to a run. Append only: variants are added, never changed; class names equal wire names.

Stored variants form the journal. `Live` variants are shown while they happen and never stored.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

from agentrt.agents import Effect, Mode, SandboxRule
from agentrt.messages import Message, ToolCall, ToolResult, Usage


def wire_name(class_name: str) -> str:
    """`RunStarted` → `run_started`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name).lower()


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag=wire_name): ...


class Accepted(Event, frozen=True, kw_only=True):
    """What is known of a run when it is accepted. `ask` is the caller's share of the model request; `from_chain`: the model
    is the first choice of the agent's chain, and others of it may answer too."""

    tenant: str
    user: str = ""
    agent: str
    agent_version: str
    mode: Mode = "interactive"
    model: str
    provider: str
    from_chain: bool = False
    session_id: str | None = None
    session_key: str = ""
    parent_run_id: str | None = None
    input: tuple[Message, ...] = ()
    ask: "CallerAsk" = msgspec.field(default_factory=lambda: CallerAsk())
    metadata: dict[str, Any] = {}
    ignored: tuple[str, ...] = ()
    skipped_models: tuple[str, ...] = ()
    idempotency_key: str = ""
    body_hash: str = ""


class RunQueued(Accepted, frozen=True, kw_only=True):
    """A run was accepted and waits: for its session, or for a free place. `input` is all that the caller sent;
    `head_run` was the newest run of its session."""

    reason: Literal["session_busy", "max_active_runs"]
    head_run: str | None = None


class RunStarted(Accepted, frozen=True, kw_only=True):
    """A run began. `input` holds its new messages; what came before is the transcript of `base_run`, cut after
    `base_length` messages. `system` is the rendered prompt; `context` stands right before the newest message; `notices` say
    in sentences what of it is not as the agent's file has it. `only`: the run is this tool call, and no model is asked."""

    base_run: str | None = None
    base_length: int = 0
    system: str = ""
    context: str = ""
    notices: tuple[str, ...] = ()
    only: "OnlyCall | None" = None


class CallerAsk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the caller of a chat asked beside the messages: parameters by their OpenAI names, and tools it runs itself."""

    parameters: dict[str, Any] = {}
    tools: tuple["CallerTool", ...] = ()


class CallerTool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A function that the caller, not agentrt, carries out."""

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class OnlyCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The tool call that a run consists of, made from outside. `session` is the one whose sandbox it uses, which need not be
    a conversation; `sandbox` is the rule for callers that come through no agent."""

    call: ToolCall
    session: str | None = None
    sandbox: SandboxRule | None = None


class ModelStarted(Event, frozen=True, kw_only=True):
    """Intent: model call number `step` begins, made by the process `boot`. `tools` are the ids offered to it;
    `missing` are tool servers that the agent uses but that are not there, each with the reason."""

    step: int
    model: str
    boot: str
    tools: tuple[str, ...] = ()
    missing: Mapping[str, str] = {}


class ModelRetrying(Event, frozen=True, kw_only=True):
    """An attempt at `model` of `provider` failed, number `attempt` there (0: it was passed over unasked), and another one
    begins after `wait_s`: at `next`, or at the same model. Where text of it was shown `text_discarded` follows, unless the
    next model goes on from that text; `usage` is then what it took at least. `cost_usd` is null where the price is unknown."""

    step: int
    attempt: int
    code: str
    message: str
    wait_s: float
    duration_ms: float
    provider: str = ""
    model: str = ""
    next: str = ""
    usage: Usage = Usage()
    cost_usd: float | None = None


class ModelCompleted(Event, frozen=True, kw_only=True):
    """Outcome: the model's whole message. `model` is the `provider/model` that answered; `version` is what it calls itself,
    where that is another name. `cost_usd` is null where nobody knows the price."""

    step: int
    message: Message
    usage: Usage
    cost_usd: float | None = None
    stop: str
    model: str = ""
    provider: str = ""
    version: str = ""
    duration_ms: float = 0.0
    first_token_ms: float | None = None


class ModelFailed(Event, frozen=True, kw_only=True):
    """Outcome: no usable answer. `text` is what readers were shown of it, up to a million characters; `interrupted` failures
    are tried again. `usage` and `cost_usd` are what it took at least; null where the price is unknown. `retry_after_s`: the
    provider asks to wait so long."""

    step: int
    code: str
    message: str
    usage: Usage = Usage()
    cost_usd: float | None = None
    text: str = ""
    duration_ms: float = 0.0
    interrupted: bool = False
    retry_after_s: float | None = None


class TextDiscarded(Event, frozen=True, kw_only=True):
    """The visible text of this step so far is void; the step starts over."""

    step: int
    reason: str


class ToolStarted(Event, frozen=True, kw_only=True):
    """Intent: a tool call begins, made by the process `boot`."""

    call: ToolCall
    step: int
    effect: Effect
    boot: str
    attempt: int = 1


class ToolStdout(Event, frozen=True, kw_only=True):
    """Output or progress of a running tool, coalesced."""

    call_id: str
    text: str
    progress: float | None = None
    total: float | None = None


class ToolStderr(Event, frozen=True, kw_only=True):
    """What a tool or its server wrote to standard error while it ran."""

    call_id: str
    text: str


class ToolCompleted(Event, frozen=True, kw_only=True):
    """Outcome: the tool answered (an answer may itself say `is_error`)."""

    call_id: str
    name: str
    result: ToolResult
    duration_ms: float = 0.0


class ToolFailed(Event, frozen=True, kw_only=True):
    """Outcome: the tool gave no answer. `reason` is a stable word; the model is told `result`."""

    call_id: str
    name: str
    reason: str
    result: ToolResult
    duration_ms: float = 0.0


class MessageAdded(Event, frozen=True, kw_only=True):
    """A message joined the conversation while the run was under way; `reason` says why."""

    message: Message
    reason: str


class CheckpointRequired(Event, frozen=True, kw_only=True):
    """The run waits for a person's decision."""

    checkpoint_id: str
    call_id: str = ""
    question: str = ""


class CheckpointResolved(Event, frozen=True, kw_only=True):
    """A person decided."""

    checkpoint_id: str
    approved: bool
    note: str = ""


class ArtifactCreated(Event, frozen=True, kw_only=True):
    """A file came into being; its bytes are the blob `file`."""

    file: str
    name: str
    media_type: str
    size: int
    call_id: str = ""


class EgressRequested(Event, frozen=True, kw_only=True):
    """Code of this run asked for something outside its container. `upstream` is one of the settings, a host of the agent's
    allow-list, or `models`; `path` comes without its query. `status` 0: no answer came. `reason` is a stable word where it was
    refused or failed. `left_out` like it came before, too fast to be told one by one."""

    upstream: str
    method: str
    path: str = ""
    status: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    duration_ms: float = 0.0
    reason: str = ""
    left_out: int = 0


class ChildSpent(Event, frozen=True, kw_only=True):
    """What a child run took, which counts into this run: `calls` are its model calls, failed attempts count in `usage` and
    `cost_usd`, which is null where the price is unknown."""

    child_run_id: str
    calls: int = 1
    usage: Usage = Usage()
    cost_usd: float | None = None


class BudgetExceeded(Event, frozen=True, kw_only=True):
    """A limit of the run was reached; it stops."""

    budget: Literal["steps", "tool_calls", "tokens", "seconds", "cost"]
    limit: float
    spent: float


class CancelRequested(Event, frozen=True, kw_only=True):
    """Somebody asked the run to stop. `reason`: `request`, `disconnect`, `session_deleted`, `parent_ended`."""

    reason: str = "request"


class FinalText(Event, frozen=True, kw_only=True):
    """The run's answer."""

    text: str


class RunCompleted(Event, frozen=True, kw_only=True, omit_defaults=False):
    """The run ended well. `finish_reason`: `stop`, `length`, `tool_calls`, `content_filter`."""

    finish_reason: str = "stop"
    session_id: str | None = None


class RunFailed(Event, frozen=True, kw_only=True):
    """The run ended without an answer, or with a cut one. `retry_after_s`: its provider asks to wait so long."""

    code: str
    message: str
    session_id: str | None = None
    retry_after_s: float | None = None


class RunCancelled(Event, frozen=True, kw_only=True, omit_defaults=False):
    """The run was stopped on request."""

    reason: str = "request"
    session_id: str | None = None


StoredEvent = (
    RunQueued
    | RunStarted
    | ModelStarted
    | ModelRetrying
    | ModelCompleted
    | ModelFailed
    | TextDiscarded
    | ToolStarted
    | ToolStdout
    | ToolStderr
    | ToolCompleted
    | ToolFailed
    | MessageAdded
    | CheckpointRequired
    | CheckpointResolved
    | ArtifactCreated
    | EgressRequested
    | ChildSpent
    | BudgetExceeded
    | CancelRequested
    | FinalText
    | RunCompleted
    | RunFailed
    | RunCancelled
)


class TextDelta(Event, frozen=True, kw_only=True):
    """More visible text of the model call under way."""

    text: str


class ReasoningDelta(Event, frozen=True, kw_only=True):
    """More reasoning of the model call under way."""

    text: str


class ToolCallDelta(Event, frozen=True, kw_only=True):
    """More of a tool call that the model is writing; `id` and `name` come with its first piece only."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


LiveEvent = TextDelta | ReasoningDelta | ToolCallDelta

End = RunCompleted | RunFailed | RunCancelled
_ENDS = frozenset(get_args(End))


def ends(event: "StoredEvent") -> bool:
    """Whether a run ends with this event, which is then an `End`. Cheap: every event is asked more than once."""
    return type(event) in _ENDS


class Record(msgspec.Struct, frozen=True):
    """An event once committed: its place in the log and when it got there (microseconds since the epoch)."""

    run_id: str
    seq: int
    at: int
    event: StoredEvent


class Delta(msgspec.Struct, frozen=True):
    """Something live, which has no place in the log: part of model call `step`.

    `offset` is the number of code points of the call's visible text up to and with this piece; -1: not resumable. `voided` is
    the seq of the newest `text_discarded` before it, 0 where there was none: text begins anew after each.
    """

    run_id: str
    at: int
    step: int
    offset: int
    event: LiveEvent
    voided: int = 0
