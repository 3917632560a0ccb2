"""The wire: what the body of a chat request may look like, field by field.

Types and ranges only; what the values mean is judged by `request`, `parts`, `functions` and `parameters`.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Count = Annotated[int, Meta(ge=1)]
ToolName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
WireRole = Literal["system", "developer", "user", "assistant", "tool", "function"]


class Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True): ...


class TextPart(Wire, frozen=True, tag="text", tag_field="type"):
    text: str
    cache_control: Any = None
    prompt_cache_breakpoint: Any = None


class RefusalPart(Wire, frozen=True, tag="refusal", tag_field="type"):
    refusal: str


class ImageSource(Wire, frozen=True):
    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(Wire, frozen=True, tag="image_url", tag_field="type"):
    image_url: ImageSource
    cache_control: Any = None
    prompt_cache_breakpoint: Any = None


class FileSource(Wire, frozen=True):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePart(Wire, frozen=True, tag="file", tag_field="type"):
    file: FileSource
    cache_control: Any = None
    prompt_cache_breakpoint: Any = None


class AudioSource(Wire, frozen=True):
    data: str
    format: Literal["wav", "mp3"]


class AudioPart(Wire, frozen=True, tag="input_audio", tag_field="type"):
    input_audio: AudioSource
    cache_control: Any = None
    prompt_cache_breakpoint: Any = None


WirePart = TextPart | ImagePart | FilePart | AudioPart | RefusalPart


class CalledFunction(Wire, frozen=True):
    name: str
    arguments: str = "{}"


class WireCall(Wire, frozen=True):
    """A call as SDKs echo it; `index` and `extra_content` are leftovers of streams and of other providers."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"
    index: int | None = None
    extra_content: Any = None


class WireMessage(Wire, frozen=True):
    """A message of any role. The second block is what the assistant messages of the SDKs carry when they are echoed."""

    role: WireRole
    content: str | list[WirePart] | None = None
    name: str | None = None
    tool_calls: list[WireCall] | None = None
    tool_call_id: str | None = None
    cache_control: Any = None

    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    reasoning_details: Any = None
    annotations: Any = None
    audio: Any = None
    function_call: Any = None
    provider_specific_fields: Any = None


class FunctionDef(Wire, frozen=True):
    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class WireTool(Wire, frozen=True):
    type: Literal["function"]
    function: FunctionDef
    cache_control: Any = None


class StreamOptions(Wire, frozen=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatBody(Wire, frozen=True, kw_only=True):
    """`POST /v1/chat/completions`. Null means the same as absent."""

    model: str
    messages: Annotated[list[WireMessage], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[WireTool] | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    stop: str | list[str] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    parallel_tool_calls: bool | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None

    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: int | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    store: bool | None = None
    prediction: dict[str, Any] | None = None

    n: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    audio: dict[str, Any] | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
