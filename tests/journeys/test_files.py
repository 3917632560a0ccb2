"""Bytes that runs refer to by their ids can be had, by whoever may see the run, and never as a page of this server."""

import base64
import hashlib
from typing import Any

import openai
import pytest

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
PAGE = b"<script>alert(1)</script>"


@pytest.fixture
def keep(client: openai.OpenAI, api: Any) -> Any:
    """Send bytes with a chat; the id under which they are kept."""

    def send(data: bytes, media_type: str, **file: str) -> str:
        url = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
        part: Any = {"type": "image_url", "image_url": {"url": url}}
        if file:
            part = {"type": "file", "file": {"file_data": url, **file}}
        content: Any = [{"type": "text", "text": "look"}, part]
        raw = client.chat.completions.with_raw_response.create(model="default", messages=[{"role": "user", "content": content}])
        session = raw.headers["x-session-id"]
        return api.get(f"/sessions/{session}/messages").json()["data"][0]["parts"][1]["file"]

    return send


def test_a_picture_that_was_sent_can_be_fetched_with_the_official_sdk(client: openai.OpenAI, upstream: Any, keep: Any) -> None:
    file_id = keep(PNG, "image/png")
    shown = client.files.retrieve(file_id)
    assert (shown.id, shown.object, shown.bytes, shown.filename) == (file_id, "file", len(PNG), f"{file_id}.png")
    assert shown.created_at > 1_700_000_000
    answer = client.files.content(file_id)
    assert answer.content == PNG
    assert answer.response.headers["content-type"] == "image/png"
    assert answer.response.headers["etag"] == f'"{hashlib.sha256(PNG).hexdigest()}"'


def test_what_somebody_sent_is_never_shown_as_a_page_of_this_server(api: Any, upstream: Any, keep: Any) -> None:
    answer = api.get(f"/v1/files/{keep(PAGE, 'text/html', filename='../a/page.html')}/content")
    assert answer.content == PAGE
    assert answer.headers["content-disposition"] == 'attachment; filename="page.html"'
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_media_type_cannot_smuggle_a_header_in(api: Any, upstream: Any, keep: Any) -> None:
    file_id = keep(b"odd", "text/plain\r\nset-cookie: a=b", filename="naïve.txt")
    answer = api.get(f"/v1/files/{file_id}/content")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
    assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''na%C3%AFve.txt"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("file_id", ["file_0123456789abcdef0123456789abcdef", "nothing", "run_0199aaaaaaaa70008000000000000001"])
@pytest.mark.parametrize("end", ["", "/content"])
def test_an_unknown_file_is_not_there(api: Any, file_id: str, end: str) -> None:
    answer = api.get(f"/v1/files/{file_id}{end}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "file_not_found")
