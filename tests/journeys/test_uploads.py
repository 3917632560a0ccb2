"""Files that people upload, with the official SDK and by hand, and get again in whole or in part."""

import hashlib
import http.client
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from fixtures.live_server import LiveServer, Serve

MIB = 1024 * 1024
LIMIT = 8 * MIB
DATA = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    from fixtures.postgres import free_port

    home = tmp_path_factory.mktemp("uploads")
    server = LiveServer(home, (), {"AGENTRT_MAX_FILE_BYTES": str(LIMIT)}, free_port())
    server.wait_healthy()
    yield server
    assert server.terminate() == 0, server.log
    assert "Traceback" not in server.log and "request.crashed" not in server.log, server.log


@pytest.fixture
def sdk(server: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="any", max_retries=0) as client:
        yield client
        for file in client.files.list():
            client.files.delete(file.id)


@pytest.fixture
def http_(server: LiveServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, timeout=50) as client:
        yield client


def on_disk(server: LiveServer) -> list[Path]:
    return [path for path in (server.home / "data/files").rglob("*") if path.is_file() and path.name != "swept"]


def test_a_file_is_uploaded_listed_shown_downloaded_and_deleted(sdk: openai.OpenAI, server: LiveServer) -> None:
    file = sdk.files.create(file=("notes é.txt", b"hello", "text/plain"), purpose="user_data")
    assert (file.object, file.bytes, file.filename, file.purpose, file.status) == (
        "file",
        5,
        "notes é.txt",
        "user_data",
        "processed",
    )
    assert file.id.startswith("file_") and file.expires_at is None
    assert sdk.files.retrieve(file.id) == file and list(sdk.files.list()) == [file]
    answer = sdk.files.content(file.id)
    assert answer.content == b"hello" and answer.response.headers["content-type"] == "text/plain"
    assert answer.response.headers["content-disposition"] == "attachment; filename*=utf-8''notes%20%C3%A9.txt"
    gone = sdk.files.delete(file.id)
    assert (gone.id, gone.object, gone.deleted) == (file.id, "file", True)
    for ask in (sdk.files.retrieve, sdk.files.content, sdk.files.delete):
        with pytest.raises(openai.NotFoundError) as missing:
            ask(file.id)
        assert missing.value.code == "file_not_found"
    assert on_disk(server) == []


async def upload_of_async_client(server: LiveServer) -> str:
    async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="any") as client:
        return (await client.files.create(file=Path(__file__), purpose="assistants")).filename


@pytest.mark.anyio
async def test_the_asynchronous_sdk_uploads_a_path(server: LiveServer, sdk: openai.OpenAI) -> None:
    assert await upload_of_async_client(server) == "test_uploads.py"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_a_large_file_goes_to_disk_and_not_through_memory(sdk: openai.OpenAI, server: LiveServer) -> None:
    data = os.urandom(LIMIT)
    before = peak_kib(server)
    file = sdk.files.create(file=("large.bin", io.BytesIO(data)), purpose="user_data")
    assert hashlib.sha256(sdk.files.content(file.id).content).digest() == hashlib.sha256(data).digest()
    assert peak_kib(server) - before < 6 * 1024


def peak_kib(server: LiveServer) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(
    http_: httpx2.Client, server: LiveServer, sdk: openai.OpenAI
) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        sdk.files.create(file=("large.bin", bytes(LIMIT + 1)), purpose="user_data")
    assert (refused.value.status_code, refused.value.code) == (413, "file_too_large")

    def endless() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(LIMIT // MIB + 1):
            yield bytes(MIB)

    def noise(before: bytes = b"") -> Iterator[bytes]:  # before or behind the form itself, where nothing of it is kept
        yield before
        for _ in range(LIMIT // MIB + 1):
            yield bytes(MIB)

    whole = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
    for content in (endless(), noise(), noise(whole)):
        answer = http_.post("/v1/files", content=content, headers={"content-type": "multipart/form-data; boundary=b"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "file_too_large")
    assert on_disk(server) == []


def test_uploads_are_paged_and_filtered_as_the_sdk_does(sdk: openai.OpenAI) -> None:
    purposes = ["user_data", "vision", "user_data", "batch", "user_data"]
    ids = [sdk.files.create(file=(f"{n}.txt", b"x"), purpose=purpose).id for n, purpose in enumerate(purposes)]
    assert [file.id for file in sdk.files.list(limit=2)] == ids[::-1]
    assert [file.id for file in sdk.files.list(order="asc", after=ids[1], limit=1).data] == [ids[2]]
    assert [file.id for file in sdk.files.list(purpose="user_data", order="asc")] == [ids[0], ids[2], ids[4]]
    assert list(sdk.files.list(purpose="evals")) == []


def test_a_file_can_be_given_a_time(sdk: openai.OpenAI) -> None:
    file = sdk.files.create(file=("a", b"x"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600})
    assert file.expires_at == file.created_at + 3600


def test_users_do_not_see_each_other_s_uploads(server: LiveServer, sdk: openai.OpenAI) -> None:
    anna, bert = (sdk.with_options(default_headers={"x-user-id": user}) for user in ("anna", "bert"))
    file = anna.files.create(file=("a", b"x"), purpose="user_data")
    assert [f.id for f in anna.files.list()] == [file.id] and list(bert.files.list()) == []
    for ask in (bert.files.retrieve, bert.files.content, bert.files.delete):
        with pytest.raises(openai.NotFoundError):
            ask(file.id)


FORMS: dict[str, tuple[dict[str, Any], str | None]] = {
    "no purpose": ({"files": {"file": ("a", b"x")}}, "purpose"),
    "an unknown purpose": ({"files": {"file": ("a", b"x")}, "data": {"purpose": "spying"}}, "purpose"),
    "no file": ({"files": {"other": ("a", b"x")}, "data": {"purpose": "user_data"}}, "file"),
    "two files": ({"files": [("file", ("a", b"x")), ("file", ("b", b"y"))], "data": {"purpose": "user_data"}}, "file"),
    "an unknown field": ({"files": {"file": ("a", b"x")}, "data": {"purpose": "user_data", "x": "y"}}, "x"),
    "a long field": ({"files": {"file": ("a", b"x")}, "data": {"purpose": "x" * 5000}}, "purpose"),
    "too short a time": (
        {
            "files": {"file": ("a", b"x")},
            "data": {"purpose": "vision", "expires_after[anchor]": "created_at", "expires_after[seconds]": "5"},
        },
        "expires_after",
    ),
    "no form": ({"json": {"file": "x", "purpose": "user_data"}}, None),
    "no boundary": ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, None),
    "an empty form": ({"content": b"", "headers": {"content-type": "multipart/form-data; boundary=b"}}, None),
    "a form that ends too early": (
        {
            "content": b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf',
            "headers": {"content-type": "multipart/form-data; boundary=b"},
        },
        None,
    ),
    "many fields": ({"files": {"file": ("a", b"x")}, "data": {f"f{n}": "x" for n in range(50)}}, None),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_that_cannot_be_used_is_one_clear_error_and_leaves_nothing(
    http_: httpx2.Client, server: LiveServer, form: str
) -> None:
    request, param = FORMS[form]
    answer = http_.post("/v1/files", **request)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error" and answer.json()["error"]["param"] == param
    assert on_disk(server) == []


def test_a_download_that_broke_off_is_gone_on_with(sdk: openai.OpenAI, http_: httpx2.Client) -> None:
    at = f"/v1/files/{sdk.files.create(file=('a.bin', DATA), purpose='user_data').id}/content"
    whole = http_.get(at)
    etag = whole.headers["etag"]
    assert (whole.status_code, whole.headers["accept-ranges"], whole.headers["content-length"]) == (200, "bytes", str(len(DATA)))
    rest = http_.get(at, headers={"range": "bytes=1000-", "if-range": etag})
    assert (rest.status_code, rest.content) == (206, DATA[1000:])
    assert rest.headers["content-range"] == f"bytes 1000-{len(DATA) - 1}/{len(DATA)}"
    assert http_.get(at, headers={"range": "bytes=-5"}).content == DATA[-5:]
    assert http_.get(at, headers={"range": "bytes=0-1,4-5"}).content == DATA
    assert http_.get(at, headers={"range": "bytes=1000-", "if-range": '"other"'}).status_code == 200
    beyond = http_.get(at, headers={"range": f"bytes={len(DATA)}-"})
    assert (beyond.status_code, beyond.content, beyond.headers["content-range"]) == (416, b"", f"bytes */{len(DATA)}")


def test_who_has_a_file_is_not_sent_it_again_and_who_asks_for_its_head_gets_no_more(
    sdk: openai.OpenAI, http_: httpx2.Client
) -> None:
    at = f"/v1/files/{sdk.files.create(file=('a.bin', DATA), purpose='user_data').id}/content"
    head = http_.head(at)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(DATA)))
    again = http_.get(at, headers={"if-none-match": head.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", head.headers["etag"])
    assert http_.head(at, headers={"range": "bytes=0-9"}).headers["content-length"] == "10"
    assert http_.head("/v1/files/file_" + "0" * 32 + "/content").status_code == 404


def test_an_upload_that_is_hung_up_on_leaves_nothing(server: LiveServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]), timeout=10)
    connection.putrequest("POST", "/v1/files")
    connection.putheader("content-type", "multipart/form-data; boundary=b")
    connection.putheader("content-length", str(4 * MIB))
    connection.endheaders(b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + bytes(2 * MIB))
    connection.close()
    with httpx2.Client(base_url=server.url) as client:
        while on_disk(server):  # the test's own time limit ends this
            assert client.get("/health/live").status_code == 200


def test_what_a_killed_server_was_receiving_is_gone_after_the_next_start(serve: Serve) -> None:
    with serve() as server:
        with openai.OpenAI(base_url=server.url + "/v1", api_key="any") as client:
            kept = client.files.create(file=("a", b"kept"), purpose="user_data").id
        server.kill()
    (server.home / "data/files/incoming/cut-off").write_bytes(b"half")
    with serve() as again:
        assert [path.read_bytes() for path in on_disk(again)] == [b"kept"]
        with openai.OpenAI(base_url=again.url + "/v1", api_key="any") as client:
            assert client.files.content(kept).content == b"kept"
