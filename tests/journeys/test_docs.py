"""The description of the API, and the page that shows it."""

import re

import pytest

PROBLEM = {"$ref": "#/components/schemas/Problem"}
OPENAI_ERROR = {"$ref": "#/components/schemas/OpenAIError"}


@pytest.fixture
def api(shipped, connect):
    return connect(shipped)


@pytest.fixture
def document(api):
    answer = api.get("/schema/openapi.json")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    return answer.json()


def operations(document):
    return [(method, path, operation) for path, item in document["paths"].items() for method, operation in item.items()]


@pytest.mark.parametrize("path", ["/schema/nothing", "/schema/openapi.yaml", "/schema/a/b"])
def test_what_is_not_there_is_a_problem_like_everywhere(api, path):
    answer = api.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"] == f"there is nothing at GET {path}"


def test_the_page_needs_nothing_from_elsewhere(api):
    page = api.get("/docs")
    assert page.status_code == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert named and all(name.startswith("/") for name in named)
    for name in named:
        part = api.get(name)
        assert part.status_code == 200
        assert not re.findall(r"(?:https?:)?//(?!127\.0\.0\.1)[a-z]", part.text) or name == "/schema/openapi.json", name
    assert "<script>" not in page.text and "style=" not in page.text


def test_every_route_is_described_with_its_failures(document):
    for method, path, operation in operations(document):
        place = f"{method} {path}"
        assert operation["summary"] and re.fullmatch(r"[a-z][A-Za-z]+", operation["operationId"]), place
        said = operation["responses"]
        assert any(status.startswith("2") for status in said) and {"403", "500", "503"} <= said.keys(), place
        if "{" in path:
            assert path.endswith("/health") or "404" in said, place
        if "requestBody" in operation:
            assert {"400", "413", "415"} <= said.keys(), place
        for status, answer in said.items():
            if status >= "4":
                shapes = [body["schema"] for body in answer["content"].values()]
                assert (OPENAI_ERROR if path.startswith("/v1/") else PROBLEM) in shapes, f"{place} {status}"
                assert len(shapes) == 1 or path == "/mcp", f"{place} {status}"  # its protocol has failures of its own


def test_operations_have_names_of_their_own(document):
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere(document):
    for name in re.findall(r'"\$ref": ?"#/components/schemas/([^"]+)"', str(document).replace("'", '"')):
        assert name in document["components"]["schemas"], name


def test_a_stream_s_events_and_a_body_s_fields_are_described(document):
    for path in ("/runs/live", "/runs/{run_id}/events"):
        content = document["paths"][path]["get"]["responses"]["200"]["content"]
        assert content["text/event-stream"]["schema"]["required"] == ["event", "data"], path
    for name in ("RunRequest", "InputMessage", "CreateSession"):
        assert document["components"]["schemas"][name]["additionalProperties"] is False, name
    assert "additionalProperties" not in document["components"]["schemas"]["RunView"]


def test_what_can_be_called_without_knowing_anything_answers_as_described(api, document):
    """Every GET whose path has no parameter, and every other route with an id that is not one."""
    for method, path, operation in operations(document):
        url = re.sub(r"\{[^}]+\}", "no-such-thing", path)
        body = {"no such field": 1} if "requestBody" in operation else None
        with api.stream(method, url, json=body) as answer:  # some never end
            media_type = answer.headers.get("content-type", "").partition(";")[0]
        assert str(answer.status_code) in operation["responses"], (method, path, answer.status_code)
        declared = operation["responses"][str(answer.status_code)].get("content", {})
        assert not declared or media_type in declared, (method, path)
