"""Pages of an index are shown with links that code in a box can follow, however they are cut while they flow."""

import pytest

from agentrt.containers.egress.links import Links, is_page

ORIGINS = {"https://index.example.com": "packages", "https://files.example.com": "files"}
HTML = b"""<!DOCTYPE html><a href="../../here/a.whl">a</a>
<a href="/there/b.whl#sha256=1" data-x='{"a"}'>b</a><A HREF='https://Index.example.com/c.whl'>c</A>
<a href=https://files.example.com/d.whl>d</a><a href="https://elsewhere.example.com/e.whl">https://files.example.com/x</a>
<a href="//files.example.com/f.whl">f</a><a href="https://files.example.com.evil.org/g.whl">g</a>"""
LED_HTML = b"""<!DOCTYPE html><a href="../../here/a.whl">a</a>
<a href="/packages/there/b.whl#sha256=1" data-x='{"a"}'>b</a><A HREF='/packages/c.whl'>c</A>
<a href=/files/d.whl>d</a><a href="https://elsewhere.example.com/e.whl">https://files.example.com/x</a>
<a href="//files.example.com/f.whl">f</a><a href="https://files.example.com.evil.org/g.whl">g</a>"""
JSON = b'{"files":[{"filename":"a","hashes":{"sha256":"1"},"url":"https://files.example.com/a"},{"url": "/b"},{"url":"c"}]}'
LED_JSON = b'{"files":[{"filename":"a","hashes":{"sha256":"1"},"url":"/files/a"},{"url": "/packages/b"},{"url":"c"}]}'


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
@pytest.mark.parametrize(("page", "led"), [(HTML, LED_HTML), (JSON, LED_JSON), (b"", b""), (b"x" * 200_000, b"x" * 200_000)])
def test_links_lead_by_the_proxy(page: bytes, led: bytes, size: int) -> None:
    links = Links("packages", ORIGINS)
    pieces = [links.see(page[at : at + size]) for at in range(0, len(page), size)]
    assert b"".join([*pieces, links.rest()]) == led


def test_only_pages_of_the_index_are_read() -> None:
    assert is_page("packages", "text/html; charset=utf-8") and is_page("packages", "application/vnd.pypi.simple.v1+json")
    assert not is_page("tickets", "text/html") and not is_page("packages", "application/octet-stream")
