"""Where each wire is spoken, and what opens it."""

import pytest

from agentrt.providers import ProviderEntry, entries_from


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8000", "http://127.0.0.1:8000"),
        (":8000", "http://127.0.0.1:8000"),
        ("box", "http://box:11434"),
        ("box:8000/", "http://box:8000"),
        ("http://box", "http://box"),
        ("http://box:8000", "http://box:8000"),
        ("https://ollama.example/llm/", "https://ollama.example/llm"),
        ("box:8000/llm", "http://box:8000/llm"),
        ("[::1]", "http://[::1]:11434"),
        ("[::]:8000", "http://[::1]:8000"),
        ("::1", "http://[::1]:11434"),
        (" box ", "http://box:11434"),
    ],
)
def test_an_ollama_is_found_however_its_host_is_spelt(host: str, url: str) -> None:
    assert entries_from({"OLLAMA_HOST": host}, {})["ollama"].url == url


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_anthropics_address_may_be_given_with_its_version_or_without(end: str) -> None:
    assert entries_from({"ANTHROPIC_BASE_URL": f"https://proxy.example{end}"}, {})["anthropic"].url == "https://proxy.example"


@pytest.mark.parametrize(
    ("entry", "headers"),
    [
        (ProviderEntry(api_key="k"), {"Authorization": "Bearer k"}),
        (ProviderEntry(wire="anthropic", api_key="k"), {"x-api-key": "k", "anthropic-version": "2023-06-01"}),
        (
            ProviderEntry(wire="anthropic", api_key="k", api_version="2026-10-21", headers={"anthropic-beta": "b"}),
            {"x-api-key": "k", "anthropic-version": "2026-10-21", "anthropic-beta": "b"},
        ),
        (ProviderEntry(wire="gemini", api_key="k"), {"x-goog-api-key": "k"}),
        (ProviderEntry(wire="ollama", base_url="box"), {}),
        (ProviderEntry(wire="ollama", base_url="box", api_key="k"), {"Authorization": "Bearer k"}),
        (ProviderEntry(api_key="k", headers={"authorization": "Basic x"}), {"authorization": "Basic x"}),
    ],
)
def test_every_wire_is_opened_in_its_own_way_and_own_headers_win(entry: ProviderEntry, headers: dict[str, str]) -> None:
    assert entry.request_headers == headers


def test_an_address_of_its_own_is_asked_for_its_models() -> None:
    def lists(wire: str, url: str | None = None) -> bool:
        return ProviderEntry(wire=wire, api_key="k", base_url=url).lists_own_models  # type: ignore[arg-type]

    assert [lists(wire) for wire in ("openai", "anthropic", "gemini", "ollama")] == [False, False, False, True]
    assert lists("anthropic", "https://proxy.example")
    assert not lists("anthropic", "https://api.anthropic.com/v1")
