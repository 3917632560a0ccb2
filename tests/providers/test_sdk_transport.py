"""What only the official SDKs know: clouds' addresses and credentials. What both transports do is tested by wire."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentrt.agents import Retry
from agentrt.events import TextDelta
from agentrt.kernel import Invalid
from agentrt.messages import says as said
from agentrt.providers import ModelAsk, ModelClient, ModelFailure, ProviderEntry, Providers, entries_from
from agentrt.providers.transport import Transport
from fixtures.postgres import free_port
from upstreams import anthropic_upstream
from upstreams.anthropic_upstream import AnthropicUpstream
from upstreams.bedrock_upstream import BedrockUpstream, exception, wrapped
from upstreams.gemini_upstream import GeminiUpstream
from upstreams.http_upstream import Reply
from upstreams.openai_upstream import OpenAIUpstream, says
from upstreams.responses_upstream import ResponsesUpstream

pytestmark = pytest.mark.anyio

HI = ModelAsk(model="some-model", messages=(said("user", "Hi"),))
CLAUDE = ModelAsk(model="anthropic.claude-sonnet-4-6-v1:0", messages=(said("user", "Hi"),))


def entry(**fields: Any) -> ProviderEntry:
    return msgspec.convert({"client": "sdk", **fields}, ProviderEntry)


@asynccontextmanager
async def speaking(**fields: Any) -> AsyncIterator[ModelClient]:
    async with Providers({"acme": entry(**fields)}) as providers:
        yield providers.client("acme", Retry(attempts=1))


async def text_of(client: ModelClient, ask: ModelAsk = HI) -> str:
    return "".join([c.text async for chunks in client.stream(ask) for c in chunks if isinstance(c, TextDelta)])


async def failure_of(client: ModelClient, ask: ModelAsk = HI) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        await text_of(client, ask)
    return caught.value


async def test_azure_is_asked_at_the_address_of_a_deployment(upstream: OpenAIUpstream) -> None:
    upstream.answer = lambda request: says("From Azure.")
    root = upstream.base_url.removesuffix("/v1")
    sdk = {"kind": "azure", "api_version": "2026-06-01"}
    async with speaking(base_url=root, api_key="azure-key", sdk=sdk) as client:
        assert await text_of(client) == "From Azure."
    asked = upstream.requests[0]
    assert asked.path == "/openai/deployments/some-model/chat/completions?api-version=2026-06-01"
    assert asked.headers["api-key"] == "azure-key"
    assert (asked.body["model"], asked.body["stream"]) == ("some-model", True)


async def test_azure_takes_a_token_and_a_deployment_of_another_name(upstream: OpenAIUpstream) -> None:
    upstream.answer = lambda request: says("From Azure.")
    root = upstream.base_url.removesuffix("/v1")
    sdk = {"kind": "azure", "api_version": "v1", "azure_deployment": "mine", "azure_ad_token": "a-token"}
    async with speaking(base_url=root, sdk=sdk) as client:
        assert await text_of(client) == "From Azure."
    assert upstream.requests[0].path.startswith("/openai/deployments/mine/chat/completions?")
    assert upstream.requests[0].headers["authorization"] == "Bearer a-token"


async def test_azure_speaks_the_responses_api(start_upstream: Any) -> None:
    upstream = start_upstream(ResponsesUpstream)
    upstream.answer = lambda request: upstream.default
    root = upstream.base_url.removesuffix("/v1")
    sdk = {"kind": "azure", "api_version": "preview"}
    async with speaking(wire="openai_responses", base_url=root, api_key="k", sdk=sdk) as client:
        assert await text_of(client) == "Hello from upstream."
    assert upstream.requests[0].path == "/openai/responses?api-version=preview"


async def test_bedrock_is_understood_though_it_frames_its_events_otherwise(start_upstream: Any) -> None:
    upstream = start_upstream(BedrockUpstream)
    sdk = {"kind": "bedrock", "aws_region": "eu-central-1"}
    async with speaking(wire="anthropic", base_url=upstream.base_url, api_key="bedrock-key", sdk=sdk) as client:
        assert await text_of(client, CLAUDE) == "Hello from upstream."
    asked = upstream.requests[0]
    assert asked.path == "/model/anthropic.claude-sonnet-4-6-v1:0/invoke-with-response-stream"
    assert asked.headers["authorization"] == "Bearer bedrock-key"
    assert not {"model", "stream"} & asked.body.keys()


@pytest.mark.parametrize(
    ("api_version", "sent", "samples"),
    [
        ("", "bedrock-2023-05-31", True),
        ("bedrock-2023-05-31", "bedrock-2023-05-31", True),
        ("2026-10-21", "2026-10-21", False),
    ],
)
async def test_bedrock_is_asked_by_a_version_that_its_models_and_our_parameters_fit(
    start_upstream: Any, api_version: str, sent: str, samples: bool
) -> None:
    upstream = start_upstream(BedrockUpstream)
    fields = {"base_url": upstream.base_url, "api_key": "k", "api_version": api_version}
    ask = msgspec.structs.replace(CLAUDE, parameters={"temperature": 0.5})
    async with speaking(wire="anthropic", sdk={"kind": "bedrock", "aws_region": "eu-central-1"}, **fields) as client:
        assert await text_of(client, ask) == "Hello from upstream."
    body = upstream.requests[0].body
    assert (body["anthropic_version"], "temperature" in body) == (sent, samples)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (wrapped(anthropic_upstream.says("Half", end="cut")), "truncated"),
        (wrapped(anthropic_upstream.says("Half", end="cut"), end="cut"), "connection"),
        (wrapped(anthropic_upstream.says("Half", end="cut"), exception("throttlingException", "slow")), "rate_limit"),
        (wrapped(anthropic_upstream.says("Half", end="cut"), b"data: what is this?\n\n"), "malformed"),
        (Reply([b'{"message":"no credentials"}'], 403, (("content-type", "application/json"),)), "permission"),
    ],
    ids=["early end", "cut", "exception", "damaged", "refused"],
)
async def test_bedrocks_faults_are_told_apart(start_upstream: Any, reply: Reply, code: str) -> None:
    upstream = start_upstream(BedrockUpstream)
    upstream.script(reply)
    sdk = {"kind": "bedrock", "aws_region": "eu-central-1"}
    async with speaking(wire="anthropic", base_url=upstream.base_url, api_key="k", sdk=sdk) as client:
        assert (await failure_of(client, CLAUDE)).code == code


async def test_vertex_is_asked_at_the_address_of_a_project(start_upstream: Any) -> None:
    upstream: AnthropicUpstream = start_upstream(AnthropicUpstream)
    upstream.answer = lambda request: upstream.default
    sdk = {"kind": "vertex", "region": "europe-west1", "project_id": "p-1", "access_token": "a-token"}
    async with speaking(wire="anthropic", base_url=upstream.base_url, sdk=sdk) as client:
        assert await text_of(client, msgspec.structs.replace(CLAUDE, model="claude-sonnet-4-6")) == "Hello from upstream."
    where = "/projects/p-1/locations/europe-west1/publishers/anthropic/models/claude-sonnet-4-6:streamRawPredict"
    assert upstream.requests[0].path == where
    assert upstream.requests[0].headers["authorization"] == "Bearer a-token"
    assert upstream.requests[0].body["anthropic_version"] == "vertex-2023-10-16"


@pytest.mark.parametrize(
    ("model", "place"),
    [
        ("gemini-3-flash-preview", "publishers/google/models/gemini-3-flash-preview"),
        ("projects/other/locations/eu/endpoints/7", None),
    ],
)
async def test_vertex_is_asked_for_gemini_too(start_upstream: Any, model: str, place: str | None) -> None:
    upstream: GeminiUpstream = start_upstream(GeminiUpstream)
    sdk = {"kind": "vertex", "region": "europe-west1", "project_id": "p-1", "access_token": "a-token"}
    async with speaking(wire="gemini", base_url=upstream.base_url, sdk=sdk, headers={"x-team": "blue"}) as client:
        assert await text_of(client, msgspec.structs.replace(HI, model=model)) == "Hello from upstream."
    asked = upstream.requests[0]
    where = f"projects/p-1/locations/europe-west1/{place}" if place else model
    assert asked.path == f"/v1beta1/{where}:streamGenerateContent?alt=sse"
    assert (asked.headers["authorization"], asked.headers["x-team"]) == ("Bearer a-token", "blue")
    assert "x-goog-api-key" not in asked.headers
    assert asked.body == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


@pytest.mark.parametrize("wire", ["anthropic", "gemini"])
async def test_who_has_no_credentials_for_a_cloud_hears_where_they_come_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wire: str
) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    sdk = {"kind": "vertex", "region": "global", "project_id": "p"}
    async with speaking(wire=wire, base_url="http://127.0.0.1:9", sdk=sdk) as client:
        failure = await failure_of(client)
    assert (failure.code, failure.retryable) == ("authentication", False)
    assert "acme: its SDK cannot ask: Your default credentials were not found." in failure.message


@pytest.mark.parametrize(
    ("fields", "package"),
    [
        (
            {"wire": "anthropic", "sdk": {"kind": "bedrock", "aws_region": "eu-central-1", "aws_access_key": "very-secret"}},
            "boto",
        ),
        ({"wire": "anthropic", "sdk": {"kind": "vertex", "region": "global", "project_id": "p"}}, "google"),
        ({"wire": "gemini", "sdk": {"kind": "vertex", "region": "global", "project_id": "p"}}, "google.genai"),
        ({"wire": "gemini", "api_key": "very-secret"}, "google.genai"),
        ({"sdk": {"kind": "azure", "api_version": "v1", "azure_ad": True}}, "azure"),
    ],
)
async def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], package: str) -> None:
    for name in ("google.auth", "google.genai"):  # the tests have them, who installs the server need not
        monkeypatch.setitem(sys.modules, name, None)
    async with speaking(base_url="http://127.0.0.1:9", **fields) as client:
        failure = await failure_of(client)
    assert (failure.code, failure.retryable) == ("authentication", False)
    assert f"acme: its SDK needs the package {package}" in failure.message
    assert "very-secret" not in failure.message


async def test_what_the_sdk_misses_is_said_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOUD_ML_REGION", raising=False)
    async with speaking(wire="anthropic", sdk={"kind": "vertex", "access_token": "t"}) as client:
        failure = await failure_of(client)
    assert failure.code == "authentication"
    assert "No region was given" in failure.message


@pytest.mark.parametrize("wire", ["openai", "openai_responses", "anthropic", "gemini"])
async def test_no_key_of_the_environment_goes_to_another_address(
    start_upstream: Any, monkeypatch: pytest.MonkeyPatch, wire: str
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.setenv(name, "sk-of-the-environment")
    kinds: dict[str, Any] = {
        "openai": OpenAIUpstream,
        "openai_responses": ResponsesUpstream,
        "anthropic": AnthropicUpstream,
        "gemini": GeminiUpstream,
    }
    upstream = start_upstream(kinds[wire])
    async with speaking(wire=wire, base_url=upstream.base_url) as client:
        assert await text_of(client) == "Hello from upstream."
    for asked in upstream.requests:
        assert "sk-of-the-environment" not in str(asked.headers)
        assert asked.headers.get("x-goog-api-key") == "none" or asked.headers["authorization"] == "Bearer none"


async def test_bytes_are_sent_as_they_were_made(upstream: OpenAIUpstream) -> None:
    asked = msgspec.structs.replace(HI, messages=(said("user", "Grüße 🌍 \u2028"),), parameters={"temperature": 1.0})
    async with speaking(base_url=upstream.base_url, api_key="k") as client:
        await text_of(client, asked)
    assert upstream.chats[0].body["messages"][0]["content"] == "Grüße 🌍 \u2028"
    assert "openai" in upstream.chats[0].headers["user-agent"].lower()


async def test_an_answer_that_is_read_ends_when_its_transport_does(upstream: OpenAIUpstream) -> None:
    upstream.script(says("Never finished", end="hang"))
    transport = Transport("acme", entry(base_url=upstream.base_url, api_key="k"))
    reply = await transport.post("/chat/completions", b'{"stream":true}')
    await reply.read()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read_on(reply))
        await asyncio.sleep(0)  # it waits for bytes now
        await transport.close()
    assert reading.result() == "connection"
    await reply.leave()


async def read_on(reply: Any) -> str:
    try:
        while await reply.read():
            pass
    except ModelFailure as failure:
        return failure.code
    return ""


async def test_a_stream_that_nobody_reads_can_be_closed(upstream: OpenAIUpstream) -> None:
    upstream.script(says("Never finished", end="hang"))
    async with speaking(base_url=upstream.base_url, api_key="k") as client:
        async with aclosing(client.stream(HI)) as stream:
            await anext(stream)
        assert await asyncio.to_thread(upstream.wait_for_chat().hung_up.wait, 30)
        assert await text_of(client) == "Hello from upstream."


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"wire": "ollama"}, "no SDK speaks the wire 'ollama'"),
        ({"sdk": {"kind": "gemini"}}, "the SDK 'gemini' does not speak the wire 'openai'"),
        ({"sdk": {"kind": "bedrock"}}, "the SDK 'bedrock' does not speak the wire 'openai'"),
        ({"wire": "anthropic", "sdk": {"kind": "azure"}}, "the SDK 'azure' does not speak the wire 'anthropic'"),
        ({"client": "native", "sdk": {"kind": "openai"}}, "'sdk' needs 'client: sdk'"),
        ({"sdk": {"kind": "openai", "aws_region": "x"}}, "unknown field `aws_region`"),
        ({"sdk": {"kind": "carrier pigeon"}}, "Invalid value 'carrier pigeon'"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_configured(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=why):
        entry(**fields)


def test_secrets_may_stand_in_the_environment() -> None:
    sdk = {"kind": "bedrock", "aws_region": "${REGION:-eu-central-1}", "aws_secret_key": "${AWS_SECRET}"}
    given = {"bedrock": entry(wire="anthropic", sdk=sdk, headers={"x-team": "${TEAM}"})}
    made = entries_from({"AWS_SECRET": "very-secret", "TEAM": "blue"}, given)["bedrock"]
    assert made.sdk is not None
    assert made.sdk.given == {"aws_region": "eu-central-1", "aws_secret_key": "very-secret"}
    assert (made.configured, made.headers, made.secrets) == (True, {"x-team": "blue"}, ("very-secret",))
    with pytest.raises(Invalid, match=r"providers\.bedrock in the settings: the environment variable AWS_SECRET is not set"):
        entries_from({"TEAM": "blue"}, given)


def test_a_cloud_gets_no_key_of_the_models_maker() -> None:
    made = entries_from({"ANTHROPIC_API_KEY": "k"}, {"anthropic": entry(wire="anthropic", sdk={"kind": "bedrock"})})["anthropic"]
    assert (made.api_key, made.claims("claude-sonnet-5-5"), made.lists_own_models) == (None, True, False)


def test_an_sdk_that_nobody_asked_yet_costs_the_start_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, asyncio\n"
        "from agentrt.providers import ProviderEntry, Providers\n"
        "async def main():\n"
        "    async with Providers({'openai': ProviderEntry(client='sdk', api_key='k')}): pass\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name in ('openai', 'anthropic', 'agentrt.providers.sdk_http')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


MANY_AT_ONCE = """
import asyncio, sys
from agentrt.providers import ProviderEntry, Providers

async def list_models():
    entries = {
        f"{wire}{number}": ProviderEntry(wire=wire, client="sdk", base_url=sys.argv[1], api_key="sk-none")
        for wire in ("openai", "openai_responses", "anthropic", "gemini") for number in range(2)
    }
    async with Providers(entries) as providers:
        await providers.listed(50)
        print(*["said: " + state["reason"] for state in providers.health().detail.values()], sep="\\n", file=sys.stderr)

asyncio.run(list_models())
"""


def test_sdks_that_are_needed_at_the_same_time_are_there_as_a_whole() -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    done = subprocess.run(
        [sys.executable, "-c", MANY_AT_ONCE, f"http://{nowhere}"], capture_output=True, text=True, timeout=55, check=True
    )
    said = [line for line in done.stderr.splitlines() if line.startswith("said: ")]
    assert len(said) == 8 and all(line.endswith(f"{nowhere} refused the connection") for line in said), said
