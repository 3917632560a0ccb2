"""Everything an agent file can say. `agentrt config schema` publishes these types as JSON Schema."""

import re
from fnmatch import translate
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Mode = Literal["interactive", "autonomous"]
Effect = Literal["read", "idempotent", "unsafe"]
SessionSource = Literal["header", "metadata", "user"]

Name = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$")]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Count = Annotated[int, Meta(ge=1)]
# the pattern is for editors; `check` refuses other strings, with a better sentence
ModelName = Annotated[str, Meta(extra_json_schema={"pattern": r"^[a-z0-9][a-z0-9_-]*/\S+$"})]
Glob = Annotated[str, Meta(extra_json_schema={"pattern": r"^[a-zA-Z0-9_*?!\[\]-]+$"})]

DEFAULT_CHAIN = ("anthropic/claude-sonnet-5-5", "openai/gpt-5.5", "gemini/gemini-3.5-flash", "ollama/qwen3")
# names of earlier systems for tools that are still here
TOOL_ALIASES = {"bash_execute": "execute_bash"}
READ_SKILL = "read_skill"


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Stored with every value written out, so that a later release's defaults cannot change what an old run meant."""


class Parameters(Spec, frozen=True, dict=True):
    """Sampling and output parameters sent with every model call. What is unset is left to the provider."""

    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)] | None, Meta(description="How freely the model chooses its words.")
    ] = None
    top_p: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None, Meta(description="Nucleus sampling; set this or temperature, not both.")
    ] = None
    max_tokens: Annotated[Count | None, Meta(description="Most tokens of one answer, reasoning included.")] = None
    stop: Annotated[str | tuple[str, ...] | None, Meta(description="Texts at which the model stops.")] = None
    seed: Annotated[int | None, Meta(description="Asks the provider for repeatable sampling.")] = None
    presence_penalty: Annotated[
        Annotated[float, Meta(ge=-2, le=2)] | None, Meta(description="Above 0: towards words not said before.")
    ] = None
    frequency_penalty: Annotated[
        Annotated[float, Meta(ge=-2, le=2)] | None, Meta(description="Above 0: away from words said often.")
    ] = None
    reasoning_effort: Annotated[
        Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None,
        Meta(description="How long a reasoning model thinks."),
    ] = None
    verbosity: Annotated[
        Literal["low", "medium", "high"] | None, Meta(description="How long answers are, where the provider knows this.")
    ] = None
    parallel_tool_calls: Annotated[bool | None, Meta(description="Whether one answer may call several tools.")] = None
    response_format: Annotated[
        dict[str, Any] | None, Meta(description="The form of the answer: `type` is text, json_object or json_schema.")
    ] = None
    tool_choice: Annotated[
        str | dict[str, Any] | None, Meta(description="auto, none, required, or the one function to call.")
    ] = None
    service_tier: Annotated[str | None, Meta(description="The provider's service class.")] = None

    @cached_property
    def given(self) -> dict[str, Any]:
        """What is set, by the parameters' OpenAI names. Do not change it."""
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}


class Retry(Spec, frozen=True):
    """How often a call that failed on its way is made, and the first pause in seconds, which doubles.

    Only tools whose effect is `read` or `idempotent` are called again, and models of whose answer nothing was shown.
    """

    attempts: Annotated[int, Meta(ge=1, le=10, description="Calls in all; 1 means no retry.")] = 1
    backoff: Annotated[float, Meta(ge=0, le=60, description="Seconds before the second call.")] = 0.5


class ModelEntry(Spec, frozen=True):
    """One model of a chain, and when it may answer."""

    model: Annotated[ModelName, Meta(description="`provider/model`.")]
    weight: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Neighbours with a weight share the runs by it: one is drawn, the others follow it."),
    ] = None
    when: Annotated[
        str,
        Meta(description="A CEL expression over the request; where it is not true the model is passed over.", max_length=2000),
    ] = ""
    retry: Annotated[Retry | None, Meta(description="Overrides the agent's `retry` for calls of this model.")] = None
    cooldown: Annotated[
        Seconds | None, Meta(description="Seconds for which the model is passed over after it failed, if another can be asked.")
    ] = None
    continue_: Annotated[
        bool,
        Meta(description="Where it breaks off, the next model goes on from its text, if that one can, instead of starting over."),
    ] = msgspec.field(default=False, name="continue")


class Limits(Spec, frozen=True):
    """Seconds that a model may take; unset: as the provider's settings say."""

    connect: Annotated[Seconds | None, Meta(description="Until the connection to the provider stands.")] = None
    first_token: Annotated[Seconds | None, Meta(description="Until an answer begins; a ping is no beginning.")] = None
    idle: Annotated[Seconds | None, Meta(description="Between two pieces of an answer.")] = None
    total: Annotated[Seconds | None, Meta(description="For a whole answer.")] = None


class ToolRule(Spec, frozen=True):
    """Tools whose id matches `match` are allowed. The first rule that matches a tool governs it."""

    match: Annotated[Glob, Meta(description="A glob over tool ids (`server__tool`, or a built-in tool's name).")]
    effect: Annotated[
        Effect | None, Meta(description="What a call does to the world; overrides what the tool says of itself.")
    ] = None
    timeout: Annotated[Seconds | None, Meta(description="Seconds one call may take.")] = None
    retry: Annotated[Retry | None, Meta(description="Overrides the agent's `retry` for these tools.")] = None


class SessionRule(Spec, frozen=True):
    """Where a request's session name is looked for, in order, and for how long an idle one is continued."""

    sources: Annotated[
        tuple[SessionSource, ...],
        Meta(min_length=1, description="header: X-Session-Id; metadata: metadata.session_id; user: the `user` field."),
    ] = msgspec.field(default=("header", "metadata"), name="from")
    idle_timeout: Annotated[Seconds, Meta(description="Seconds after which a session named by `user` begins anew.")] = 3600.0


class Budgets(Spec, frozen=True):
    """Limits of one run; null lifts one. A run that reaches a limit ends and says so."""

    steps: Annotated[Count | None, Meta(description="Model calls, those of its code included.")] = 50
    tool_calls: Annotated[Count | None, Meta(description="Tool calls.")] = 200
    tokens: Annotated[Count | None, Meta(description="Input and output tokens together.")] = None
    seconds: Annotated[Seconds | None, Meta(description="Seconds from start to end.")] = 3600.0
    cost: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="US dollars. Runs need models with known prices then.")
    ] = None


class SandboxRule(Spec, frozen=True):
    """Where an agent's code runs, and what it may reach from there. Without `upstreams` and `hosts` it reaches nothing."""

    pool: Annotated[Name, Meta(description="The pool of the settings that its containers come from.")] = "code"
    workspace: Annotated[
        Literal["session", "user"],
        Meta(description="session: each session has its own files; user: all sessions of a user share them."),
    ] = "session"
    upstreams: Annotated[
        tuple[str, ...], Meta(description="Upstreams of the settings that its code may call, with their credentials.")
    ] = ()
    hosts: Annotated[
        tuple[str, ...], Meta(description="Hosts that its code may call by HTTPS, such as `api.example.com` or `*.example.com`.")
    ] = ()
    models: Annotated[bool, Meta(description="Whether its code may call the agent's models, on the run's budget.")] = False
    install: Annotated[bool, Meta(description="Whether it may install Python packages into its workspace.")] = False


class Example(Spec, frozen=True):
    """One few-shot message, shown to the model before the conversation."""

    role: Literal["user", "assistant"]
    content: str


class AgentSpec(Spec, frozen=True, dict=True):
    """One agent.

    `prompt` and `context` are minijinja templates. `prompt` may use what is the same for every run (`STATIC_VARIABLES`)
    and comes first; `context` may also use what changes per run (`RUN_VARIABLES`) and stands right before the newest
    message, so that providers can cache everything above it.
    """

    name: Annotated[Name, Meta(description="What callers say as `model` (chat) or `agent` (runs).")]
    aliases: Annotated[tuple[Name, ...], Meta(description="More names for the same agent.")] = ()
    description: Annotated[str, Meta(description="One sentence for people who choose an agent.")] = ""
    model: Annotated[
        Annotated[tuple[ModelName | ModelEntry, ...], Meta(min_length=1)] | ModelName,
        Meta(description="`provider/model`, or a chain of them: the first that can be asked answers, the next where it fails."),
    ] = DEFAULT_CHAIN
    limits: Annotated[Limits, Meta(description="How long a model may take; overrides the provider's settings.")] = Limits()
    parameters: Annotated[Parameters, Meta(description="Sent with every model call; a caller may change what is not locked.")] = (
        Parameters()
    )
    locked: Annotated[
        tuple[str, ...], Meta(description="Parameters set above that a caller cannot change; `model` locks the model.")
    ] = ()
    unsupported: Annotated[
        Literal["drop", "error"] | None,
        Meta(
            description="Parameters that the model cannot take. drop: all are dropped with notice; error: all are refused; "
            "unset: advisory ones are dropped, ones that change what the answer means are refused."
        ),
    ] = None
    prompt: Annotated[str, Meta(description="System prompt, a template over what is the same for every run.")] = ""
    context: Annotated[
        str, Meta(description="Second system text, a template over what changes per run; placed before the newest message.")
    ] = ""
    examples: Annotated[tuple[Example, ...], Meta(description="Few-shot messages.")] = ()
    tools: Annotated[
        tuple[Glob | ToolRule, ...], Meta(description="The tools that the agent may call, as globs over ids or as rules.")
    ] = ()
    skills: Annotated[
        tuple[str, ...],
        Meta(description="The skills it may use, as globs over names; its own, in `NAME/skills/` beside its file, come along."),
    ] = ()
    prompt_from: Annotated[
        str,
        Meta(
            description="`server/prompt`: a prompt of an MCP server, used instead of `prompt`, which stands in where it fails.",
            pattern=r"^$|^[^/]+/.+$",
        ),
    ] = ""
    refresh: Annotated[
        Literal["session", "live"],
        Meta(description="session: a conversation keeps the prompt it began with; live: each turn renders it anew."),
    ] = "session"
    sandbox: Annotated[SandboxRule, Meta(description="Where its code runs, and what that code may reach.")] = SandboxRule()
    session: Annotated[SessionRule, Meta(description="How a request finds its conversation.")] = SessionRule()
    mode: Annotated[
        Mode,
        Meta(description="interactive: a run ends with the first answer; autonomous: it goes on until `finish_task` is called."),
    ] = "interactive"
    budgets: Annotated[Budgets, Meta(description="Limits of one run.")] = Budgets()
    retry: Annotated[Retry, Meta(description="Retries of tool calls and model calls.")] = Retry(attempts=3)
    logging: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(
            description="What the log says of this agent's runs. warning: those that fail; info: where each begins and ends; "
            "debug: every event; error: mistakes of the server only."
        ),
    ] = "warning"
    metadata: Annotated[dict[str, Any], Meta(description="Anything; templates see it as `agent.metadata`.")] = {}

    @property
    def chain(self) -> tuple[str, ...]:
        """The models to try, best first, each as `provider/model`."""
        return tuple(entry.model for entry in self.entries)

    @cached_property
    def entries(self) -> tuple[ModelEntry, ...]:
        """The same, with what the file says of each."""
        written = (self.model,) if isinstance(self.model, str) else self.model
        return tuple(ModelEntry(model=entry) if isinstance(entry, str) else entry for entry in written)

    def rule_for(self, tool_id: str) -> ToolRule | None:
        """The rule that allows this tool, with the agent's `retry` where it has none of its own; None where no rule does."""
        found = next((rule for allows, rule in self._rules if allows(tool_id)), None)
        return ToolRule(match=READ_SKILL) if found is None and tool_id == READ_SKILL and self.skills else found

    @cached_property
    def _rules(self) -> tuple[tuple[Any, ToolRule], ...]:
        rules: list[tuple[Any, ToolRule]] = []
        for entry in self.tools:
            rule = ToolRule(match=entry) if isinstance(entry, str) else entry
            allows = re.compile(translate(TOOL_ALIASES.get(rule.match, rule.match))).match
            rules.append((allows, msgspec.structs.replace(rule, retry=rule.retry or self.retry)))
        return tuple(rules)
