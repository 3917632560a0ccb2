import httpx2
from prometheus_client.parser import text_string_to_metric_families


def test_what_a_server_did_can_be_scraped(live_server) -> None:
    body = {"model": "default", "messages": [{"role": "user", "content": "What is 2 + 2 * 3"}]}
    with httpx2.Client(base_url=live_server.url, timeout=50) as client:
        assert client.post("/v1/chat/completions", json=body).status_code == 200
        assert client.post("/v1/chat/completions", json={"model": "nobody", "messages": body["messages"]}).status_code == 404
        assert client.head("/health/live").status_code == 200
        assert client.options("/runs/run_1/cancel").status_code == 204
        assert client.delete("/runs/run_1/cancel").status_code == 405
        assert client.options("/nowhere").status_code == 404
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    seen = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert seen["agentrt_http_requests_total", "POST", "/v1/chat/completions", "200"] == 1
    assert seen["agentrt_http_requests_total", "POST", "/v1/chat/completions", "404"] == 1
    assert seen["agentrt_http_requests_total", "HEAD", "/health/live", "200"] == 1
    assert seen["agentrt_http_requests_total", "OPTIONS", "/runs/{run_id}/cancel", "204"] == 1
    assert seen["agentrt_http_requests_total", "DELETE", "/runs/{run_id}/cancel", "405"] == 1
    assert seen["agentrt_http_requests_total", "OPTIONS", "unmatched", "404"] == 1
    assert seen["agentrt_runs_ended_total", "completed"] == 1
    assert seen["agentrt_model_calls_total", "offline/offline"] == 2
    assert seen["agentrt_tool_calls_total", "completed", "calculator"] == 1
    assert seen["agentrt_tool_duration_seconds_count", "calculator"] == 1
    assert seen["agentrt_runs_active",] == 0
    assert seen["agentrt_process_resident_memory_bytes",] > 0
