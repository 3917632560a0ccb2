"""What the server says of itself and of its models."""

from typing import Any

import httpx2
import pytest


@pytest.fixture(scope="module")
def told(server: Any) -> dict[str, Any]:
    return httpx2.get(f"{server.url}/v1/capabilities").json()


def test_surfaces_are_addresses_that_answer(server: Any, told: dict[str, Any]):
    described = httpx2.get(f"{server.url}/schema/openapi.json").json()["paths"]
    assert {surface["path"] for surface in told["surfaces"]} <= set(described)
    assert "/v1/capabilities" in described and told["object"] == "capabilities"
    named = {surface["name"] for surface in told["surfaces"]}
    assert named >= {"chat", "embeddings", "models", "runs", "sessions", "files", "mcp", "sandboxes", "pools", "vms"}
    assert "mcp_servers" not in named, "that module is switched off here"


def test_a_module_that_is_switched_off_has_no_surface(serve: Any):
    with serve(AGENTRT_MODULES__MCP_SERVER="false", AGENTRT_MODULES__CONTAINERS="false") as server:
        named = {surface["name"] for surface in httpx2.get(f"{server.url}/v1/capabilities").json()["surfaces"]}
    assert named.isdisjoint({"mcp", "sandboxes", "pools", "vms"}) and named >= {"files", "mcp_servers"}


def test_each_parameter_has_one_class_for_each_wire(told: dict[str, Any]):
    openai, anthropic = told["parameters"]["openai"], told["parameters"]["anthropic"]
    for classes in told["parameters"].values():
        names = [name for of in classes.values() for name in of]
        assert len(names) == len(set(names))
    assert "temperature" in anthropic["honoured"] and "n" in anthropic["refused"]
    assert "seed" in openai["advisory"] and "seed" in anthropic["ignored"]


def test_models_of_agents_and_listed_ones_have_abilities_and_prices(told: dict[str, Any]):
    models = {model["id"]: model for model in told["models"]}
    mini, local, offline = models["openai/gpt-4o-mini"], models["openai/local-model"], models["offline/offline"]
    assert (mini["abilities"]["vision"], mini["abilities"]["audio"], mini["abilities"]["context_tokens"]) == (True, False, 128000)
    assert mini["price_usd"] == {"input": 0.15, "output": 0.6, "cached": 0.075}
    assert (local["price_usd"], set(local["abilities"].values())) == (None, {None}), "unknown, and said so"
    assert offline["price_usd"] == {"input": 0.0, "output": 0.0}
    assert told["agents"] == sorted(told["agents"]) and "helper" in told["agents"]


@pytest.mark.parametrize("name", ["openai/gpt-4o-mini", "gpt-4o-mini", "default", "default:gpt-4o-mini"])
def test_one_model_says_the_same_whatever_its_name(server: Any, told: dict[str, Any], name: str):
    card = httpx2.get(f"{server.url}/v1/models/{name}").json()
    (listed,) = [model for model in told["models"] if model["id"] == "openai/gpt-4o-mini"]
    assert card["id"] == name
    assert (card["agentrt"]["abilities"], card["agentrt"]["price_usd"]) == (listed["abilities"], listed["price_usd"])
    assert card["agentrt"]["model"] == "gpt-4o-mini"


def test_costs_are_told_on_a_whole_answer_and_on_the_last_chunk(client: Any, server: Any, upstream: Any):
    hi = [{"role": "user", "content": "hi"}]
    whole = client.chat.completions.with_raw_response.create(model="openai/gpt-4o-mini", messages=hi)
    cost = round((8 * 0.15 + 3 * 0.075 + 7 * 0.6) / 1e6, 12)
    assert float(whole.headers["x-agentrt-cost-usd"]) == cost
    assert httpx2.get(f"{server.url}/runs/{whole.headers['x-run-id']}").json()["cost_usd"] == cost
    *_, last = client.chat.completions.create(
        model="openai/gpt-4o-mini", messages=hi, stream=True, stream_options={"include_usage": True}
    )
    assert last.model_extra["agentrt"]["cost_usd"] == cost


def test_an_unknown_price_is_null_everywhere_and_never_zero(client: Any, server: Any, upstream: Any):
    hi = [{"role": "user", "content": "hi"}]
    whole = client.chat.completions.with_raw_response.create(model="openai/local-model", messages=hi)
    assert "x-agentrt-cost-usd" not in whole.headers
    run_id = whole.headers["x-run-id"]
    assert httpx2.get(f"{server.url}/runs/{run_id}").json()["cost_usd"] is None
    assert httpx2.get(f"{server.url}/runs/{run_id}/steps").json()["data"][0]["cost_usd"] is None
    assert '"cost_usd":null' in httpx2.get(f"{server.url}/runs/{run_id}/events").text
    *_, last = client.chat.completions.create(
        model="openai/local-model", messages=hi, stream=True, stream_options={"include_usage": True}
    )
    assert last.model_extra["agentrt"]["cost_usd"] is None
