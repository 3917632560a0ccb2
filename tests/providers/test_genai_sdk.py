"""The official SDK as the oracle: it sends what we send, and reads of an answer what we read."""

import base64
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
from google import genai
from google.genai import errors, types

from agentrt.events import CallerTool
from agentrt.messages import File, Image, Message, Text, Thinking, ToolCall, ToolResult
from agentrt.messages import says as message
from agentrt.providers import ModelAsk, ModelFailure
from agentrt.providers.gemini_parts import CallExtras
from agentrt.tools import ToolDef
from fixtures.wires import done
from upstreams.gemini_upstream import GeminiUpstream, call, calls, event, piece, refuses, says, streams
from upstreams.http_upstream import Reply

pytestmark = pytest.mark.anyio

MODEL = "gemini-3-flash-preview"
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
PNG = b"\x89PNG"
PDF = b"%PDF"
SIGNATURE = b"signed call\xff\xfe\xfb"  # of which the two alphabets of Base64 make different texts
SSE = (("content-type", "text/event-stream"),)


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def extras(id_: str, signature: bytes) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(CallExtras(id_, base64_of(signature) if signature else "")))


THOUGHT = msgspec.Raw(msgspec.json.encode({"text": "", "thoughtSignature": base64_of(SIGNATURE)}))
ASK = ModelAsk(
    model=MODEL,
    system=("Be brief.", "Today is Monday."),
    messages=(
        Message(
            "user",
            (
                Text("What is this?"),
                Image(url=f"data:image/png;base64,{base64_of(PNG)}"),
                Image(url="https://example.com/a.jpg"),
                File(data=f"data:application/pdf;base64,{base64_of(PDF)}", name="a.pdf"),
            ),
        ),
        Message(
            "assistant",
            (
                Text("I look."),
                Thinking("", "acme", THOUGHT),
                ToolCall("call_1", "echo", '{"text":"ä"}', extras("theirs", SIGNATURE), "acme"),
                ToolCall("call_2", "lookup", "{}"),
            ),
        ),
        Message(
            "tool",
            (
                ToolResult("call_1", (Text("a"), Image(url=f"data:image/png;base64,{base64_of(PNG)}"))),
                ToolResult("call_2", (Text("no"),), is_error=True),
            ),
        ),
        message("user", "Go on"),
    ),
    tools=(ToolDef(id="echo", description="Says it again.", schema=SCHEMA),),
    caller_tools=(CallerTool(name="lookup", parameters=SCHEMA),),
    parameters={
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 10,
        "stop": ["x"],
        "seed": 7,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.25,
        "reasoning_effort": "low",
        "tool_choice": {"type": "function", "function": {"name": "echo"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    },
)
# The same, in the words of the SDK.
CONTENTS = [
    types.Content(
        role="user",
        parts=[
            types.Part(text="What is this?"),
            types.Part.from_bytes(data=PNG, mime_type="image/png"),
            types.Part.from_uri(file_uri="https://example.com/a.jpg"),
            types.Part.from_bytes(data=PDF, mime_type="application/pdf"),
        ],
    ),
    types.Content(
        role="model",
        parts=[
            types.Part(text="I look."),
            types.Part(text="", thought_signature=SIGNATURE),
            types.Part(
                function_call=types.FunctionCall(id="theirs", name="echo", args={"text": "ä"}), thought_signature=SIGNATURE
            ),
            types.Part(function_call=types.FunctionCall(name="lookup", args={})),
        ],
    ),
    types.Content(
        role="user",
        parts=[
            types.Part(
                function_response=types.FunctionResponse(
                    id="theirs",
                    name="echo",
                    response={"output": "a"},
                    parts=[types.FunctionResponsePart.from_bytes(data=PNG, mime_type="image/png")],
                )
            ),
            types.Part(function_response=types.FunctionResponse(name="lookup", response={"error": "no"})),
        ],
    ),
    types.Content(role="user", parts=[types.Part(text="Go on")]),
]
CONFIG = types.GenerateContentConfig(
    system_instruction=types.Content(parts=[types.Part(text="Be brief."), types.Part(text="Today is Monday.")]),
    temperature=0.5,
    top_p=0.9,
    max_output_tokens=10,
    stop_sequences=["x"],
    seed=7,
    presence_penalty=0.5,
    frequency_penalty=0.25,
    thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW, include_thoughts=True),
    response_mime_type="application/json",
    response_json_schema=SCHEMA,
    tools=[
        types.Tool(
            function_declarations=[
                types.FunctionDeclaration(name="echo", description="Says it again.", parameters_json_schema=SCHEMA),
                types.FunctionDeclaration(name="lookup", parameters_json_schema=SCHEMA),
            ]
        )
    ],
    tool_config=types.ToolConfig(
        function_calling_config=types.FunctionCallingConfig(
            mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["echo"]
        )
    ),
)


@pytest.fixture
def wire() -> str:
    return "gemini"


@pytest.fixture
async def sdk(upstream: GeminiUpstream) -> AsyncIterator[genai.client.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        options = types.HttpOptions(base_url=upstream.base_url, api_version="v1beta", httpx_async_client=http)
        with genai.Client(api_key="sk-verysecret", http_options=options) as client:
            yield client.aio


async def theirs(sdk: genai.client.AsyncClient, contents: Any = "Hi", config: Any = None) -> list[Any]:
    stream = await sdk.models.generate_content_stream(model=MODEL, contents=contents, config=config)
    return [piece async for piece in stream]


async def test_both_send_the_same_request(acme: Any, sdk: genai.client.AsyncClient, upstream: GeminiUpstream) -> None:
    async with acme() as client:
        await done(client, ASK)
    await theirs(sdk, CONTENTS, CONFIG)
    our, their = upstream.chats
    assert spelt_alike(our.body) == spelt_alike(their.body)
    assert (our.method, our.path) == (their.method, their.path)
    assert {name: our.headers[name] for name in ("x-goog-api-key", "content-type")} == {
        name: their.headers[name] for name in ("x-goog-api-key", "content-type")
    }


def spelt_alike(node: Any) -> Any:
    """What Google's services read alike: both spellings of a field's name, an enumeration's word in any case, both
    alphabets of Base64."""
    match node:
        case dict():
            fields = {re.sub("_(.)", lambda found: found[1].upper(), name): spelt_alike(value) for name, value in node.items()}
            if "thinkingLevel" in fields:
                fields["thinkingLevel"] = fields["thinkingLevel"].lower()
            for name in ("thoughtSignature", "data"):
                if name in fields:
                    fields[name] = fields[name].replace("-", "+").replace("_", "/")
            return fields
        case list():
            return [spelt_alike(each) for each in node]
        case _:
            return node


@pytest.mark.parametrize(
    "reply",
    [
        says("Grüße aus 🌍"),
        calls(("echo", {"text": "ä"}), ("lookup", {"text": "b"})),
        streams({"text": "Let me", "thought": True}, {"text": " see.", "thought": True}, {"text": "Cut"}, finish="MAX_TOKENS"),
        streams({"text": "Hm."}, call("echo", {}, base64_of(SIGNATURE), "theirs")),
        streams({"text": "Look:"}, {"inlineData": {"mimeType": "image/png", "data": base64_of(PNG)}}),
        streams(
            {"executableCode": {"language": "PYTHON", "code": "print(2)"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2\n"}},
            {"text": "Two."},
        ),
        streams({"text": "I will"}, finish="SAFETY"),
        streams({"text": "The song"}, finish="RECITATION"),
    ],
    ids=["text", "calls", "thinking", "signed call", "image", "code", "safety", "recitation"],
)
async def test_both_read_the_same_answer(
    acme: Any, sdk: genai.client.AsyncClient, upstream: GeminiUpstream, reply: Reply
) -> None:
    upstream.script(reply, reply)
    async with acme() as client:
        read = await done(client, ModelAsk(model=MODEL, messages=(message("user", "Hi"),)))
    pieces = await theirs(sdk)
    parts = [part for piece in pieces for part in piece.candidates[0].content.parts or ()]
    assert words(read.message) == "".join(part.text for part in parts if part.text and not part.thought)
    thought = "".join(part.text for part in read.message.parts if isinstance(part, Thinking) and "thought" not in kept(part))
    assert thought == "".join(part.text for part in parts if part.text and part.thought)
    assert [called(one) for one in read.message.calls] == [
        (part.function_call.name, part.function_call.args, part.function_call.id or "", part.thought_signature or b"")
        for part in parts
        if part.function_call
    ]
    assert [part.url for part in read.message.parts if isinstance(part, Image)] == [
        f"data:{part.inline_data.mime_type};base64,{base64_of(part.inline_data.data)}" for part in parts if part.inline_data
    ]
    said = pieces[-1].candidates[0].finish_reason
    stop = {"STOP": "stop", "MAX_TOKENS": "length"}.get(said.value, "content_filter")
    assert read.stop == ("tool_calls" if read.message.calls else stop)
    assert read.model == pieces[-1].model_version
    spent = pieces[-1].usage_metadata
    assert (read.usage.input, read.usage.output) == (
        spent.prompt_token_count,
        spent.candidates_token_count + spent.thoughts_token_count,
    )
    assert (read.usage.cached, read.usage.reasoning) == (spent.cached_content_token_count, spent.thoughts_token_count)


def words(said: Message) -> str:
    """The model's own words: without the code that it ran, which we show among them."""
    code = [
        part
        for part in said.parts
        if isinstance(part, Thinking) and {"executableCode", "codeExecutionResult"} & kept(part).keys()
    ]
    return said.text if not code else said.parts[-1].text  # type: ignore[union-attr]


def kept(part: Thinking) -> dict[str, Any]:
    return msgspec.json.decode(part.opaque) if part.opaque else {}


def called(one: ToolCall) -> tuple[str, Any, str, bytes]:
    more = msgspec.json.decode(one.opaque, type=CallExtras) if one.opaque else CallExtras()
    return one.name, json.loads(one.arguments), more.id, base64.b64decode(more.thought_signature)


async def test_what_its_next_turn_wants_back_goes_back_as_the_sdk_sends_it(
    acme: Any, sdk: genai.client.AsyncClient, upstream: GeminiUpstream
) -> None:
    reply = streams(
        {"text": "Think.", "thought": True},
        {"executableCode": {"language": "PYTHON", "code": "print(2)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2\n"}},
        {"text": "Two.", "thoughtSignature": base64_of(SIGNATURE)},
        call("echo", {"text": "a"}, base64_of(SIGNATURE), "theirs"),
        call("lookup", {"text": "b"}),
    )
    upstream.script(reply, says("x"), reply, says("x"))
    async with acme() as client:
        read = await done(client, ModelAsk(model=MODEL, messages=(message("user", "Hi"),)))
        await done(client, ModelAsk(model=MODEL, messages=(message("user", "Hi"), read.message)))
    parts = [part for piece in await theirs(sdk) for part in piece.candidates[0].content.parts]
    await theirs(sdk, [types.UserContent("Hi"), types.ModelContent([part for part in parts if not part.thought])])
    our, their = upstream.chats[1], upstream.chats[3]
    assert spelt_alike(our.body["contents"]) == spelt_alike(their.body["contents"])


async def test_a_blocked_prompt_is_an_answer_without_candidates_to_both(
    acme: Any, sdk: genai.client.AsyncClient, upstream: GeminiUpstream
) -> None:
    blocked = event({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}})
    upstream.script(Reply([blocked], headers=SSE), Reply([blocked], headers=SSE))
    async with acme() as client:
        with pytest.raises(ModelFailure) as failed:
            await done(client, ModelAsk(model=MODEL, messages=(message("user", "Hi"),)))
    (read,) = await theirs(sdk)
    assert (read.candidates, failed.value.code) == (None, "content_filter")
    assert read.prompt_feedback.block_reason.value in failed.value.message


@pytest.mark.parametrize(
    ("status", "named", "code", "error"),
    [
        (400, "INVALID_ARGUMENT", "invalid_request", errors.ClientError),
        (401, "UNAUTHENTICATED", "authentication", errors.ClientError),
        (403, "PERMISSION_DENIED", "permission", errors.ClientError),
        (404, "NOT_FOUND", "not_found", errors.ClientError),
        (429, "RESOURCE_EXHAUSTED", "rate_limit", errors.ClientError),
        (500, "INTERNAL", "server_error", errors.ServerError),
        (503, "UNAVAILABLE", "overloaded", errors.ServerError),
        (504, "DEADLINE_EXCEEDED", "server_error", errors.ServerError),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True], ids=["object", "array"])
async def test_both_tell_failures_apart(
    acme: Any,
    sdk: genai.client.AsyncClient,
    upstream: GeminiUpstream,
    status: int,
    named: str,
    code: str,
    error: type[errors.APIError],
    wrapped: bool,
) -> None:
    upstream.script(*[refuses(status, "because", named, wrapped=wrapped)] * 2)
    async with acme() as client:
        with pytest.raises(ModelFailure) as ours:
            await done(client, ModelAsk(model=MODEL, messages=(message("user", "Hi"),)))
    with pytest.raises(error) as their:
        await theirs(sdk)
    assert (ours.value.code, ours.value.status) == (code, their.value.code)
    assert their.value.message == "because" and "because" in ours.value.message


async def test_an_error_in_mid_stream_is_one_to_both(acme: Any, sdk: genai.client.AsyncClient, upstream: GeminiUpstream) -> None:
    died = event({"error": {"code": 503, "message": "died", "status": "UNAVAILABLE"}})
    upstream.script(*[Reply([event(piece({"text": "Half"})), died], headers=SSE)] * 2)
    async with acme() as client:
        with pytest.raises(ModelFailure) as ours:
            await done(client, ModelAsk(model=MODEL, messages=(message("user", "Hi"),)))
    with pytest.raises(errors.ServerError) as their:
        await theirs(sdk)
    assert (ours.value.code, their.value.code, their.value.status) == ("overloaded", 503, "UNAVAILABLE")
