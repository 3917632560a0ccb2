"""Prices and budgets, as a person sets them."""

import pytest

from upstreams.openai_upstream import OpenAIUpstream, calls

QUIET = {"AGENTRT_MODULES__MCP_REGISTRY": "false", "OPENAI_API_KEY": "sk-test"}
AGENTS = {
    "default": "model: openai/local-model\ntools: ['*']\nbudgets: {cost: 0.5}\n",
    "free": "model: openai/local-model\n",
    "known": "model: openai/gpt-4o-mini\nbudgets: {cost: 0.5}\n",
    "chain": "model: [openai/gpt-4o-mini, openai/local-model]\nbudgets: {cost: 0.5}\n",
}


def test_a_cost_budget_needs_prices_which_the_settings_may_give_and_then_it_holds(serve, connect, tmp_path, openai_upstream):
    upstream: OpenAIUpstream = openai_upstream(calls(("clock", {})))
    (tmp_path / "agents").mkdir()
    for name, text in AGENTS.items():
        (tmp_path / "agents" / f"{name}.yaml").write_text(f"name: {name}\n{text}")
    env = {**QUIET, "OPENAI_BASE_URL": upstream.base_url, "AGENTRT_CONFIG": str(tmp_path / "agents")}
    with serve(**env) as server:
        api = connect(server)
        refused = api.post("/runs", json={"input": "hi"})
        assert (refused.status_code, refused.json()["code"]) == (400, "price_unknown")
        assert "openai/local-model" in refused.json()["detail"]
        chat = api.post("/v1/chat/completions", json={"model": "chain", "messages": [{"role": "user", "content": "hi"}]})
        assert (chat.status_code, chat.json()["error"]["code"]) == (400, "price_unknown"), "any model of the chain may answer"
        assert not upstream.chats, "nothing was spent"
        assert api.post("/runs?wait=30", json={"input": "hi", "agent": "known"}).json()["cost_usd"] > 0
        assert api.post("/runs?wait=30", json={"input": "hi", "agent": "free"}).json()["cost_usd"] is None
    (tmp_path / "agentrt.yaml").write_text('prices:\n  "openai/local-*": {input: 10000, output: 10000, cached: 0}\n')
    with serve(**env) as server:
        api = connect(server)
        run = api.post("/runs?wait=30", json={"input": "hi"}).json()
        # 8 + 7 tokens a call, at a cent each
        assert (run["status"], run["error"]["code"], run["cost_usd"]) == ("failed", "budget_exceeded", 0.6)
        events = api.get(f"/runs/{run['id']}/events").text
        assert '"budget":"cost","limit":0.5,"spent":0.6' in events
        chat = api.post("/v1/chat/completions", json={"model": "default", "messages": [{"role": "user", "content": "hi"}]})
        assert (chat.status_code, chat.json()["error"]["code"]) == (429, "budget_exceeded")
        assert chat.headers["x-agentrt-cost-usd"] == "0.6"


def test_a_price_that_does_not_fit_keeps_the_server_from_starting_and_is_named(tmp_path, serve):
    (tmp_path / "agentrt.yaml").write_text('prices:\n  "openai/*": {inptu: 1}\n')
    with pytest.raises(AssertionError, match=r"prices.openai/\* in the settings: .*'inptu' .did you mean"), serve(**QUIET):
        pass
