"""Images by address: fetched within limits, and never from inside."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from agentrt.files import ImageFetcher, RecentImages
from agentrt.files.inner import Allowed, is_inner
from agentrt.kernel import Invalid

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\nrest"
LOOPBACK = ("127.0.0.1",)


def answer(status: str = "200 OK", body: bytes = PNG, **headers: str) -> bytes:
    given = {"content-type": "image/png", "content-length": str(len(body))} | {k.replace("_", "-"): v for k, v in headers.items()}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Site:
    """Answers each path with bytes; a path that it does not know is never answered. `asked` are the paths, in order."""

    def __init__(self, port: int, asked: list[str]) -> None:
        self.port, self.asked = port, asked
        self.pages: dict[str, bytes] = {}

    def url(self, path: str = "/a.png", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@asynccontextmanager
async def a_site(**pages: bytes) -> AsyncIterator[Site]:
    asked: list[str] = []
    closing = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        asked.append(path)
        if path in site.pages:
            writer.write(site.pages[path])
            await writer.drain()
        else:
            await closing.wait()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    site = Site(server.sockets[0].getsockname()[1], asked)
    site.pages |= {f"/{name}.png": page for name, page in pages.items()}
    try:
        yield site
    finally:
        closing.set()
        server.close()
        await server.wait_closed()


async def refused(fetcher: ImageFetcher, url: str) -> Invalid:
    with pytest.raises(Invalid) as refusal:
        await fetcher.fetch(url, "messages[0].content[1].image_url.url")
    assert refusal.value.param == "messages[0].content[1].image_url.url"
    return refusal.value


async def test_an_image_is_fetched_with_its_type() -> None:
    async with a_site(a=answer(content_type="image/PNG; x=1")) as site:
        found = await ImageFetcher(inner_hosts=LOOPBACK).fetch(site.url())
    assert (found.data, found.media_type) == (PNG, "image/png")


async def test_redirects_are_followed_three_times_and_no_more() -> None:
    async with a_site(a=answer("302 Found", location="/b.png"), b=answer("307 X", location="c.png")) as site:
        site.pages["/c.png"] = answer("301 X", location=site.url("/d.png"))
        site.pages["/d.png"] = answer()
        assert (await ImageFetcher(inner_hosts=LOOPBACK).fetch(site.url())).data == PNG
        site.pages["/d.png"] = answer("303 X", location="/e.png")
        assert "more than 3 times" in (await refused(ImageFetcher(inner_hosts=LOOPBACK), site.url())).message


async def test_a_redirect_cannot_lead_inside() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with a_site(a=answer()) as site:
        site.pages["/go"] = answer("302 Found", location=f"http://169.254.169.254:{site.port}/a.png")
        fetcher = ImageFetcher(inner_hosts=("allowed.test",), resolve=resolve)
        assert (await refused(fetcher, site.url("/go", "allowed.test"))).code == "image_address_refused"
        assert (await refused(fetcher, site.url("/a.png", "other.test"))).code == "image_address_refused"
        assert site.asked == ["/go"]


async def test_a_name_counts_as_where_it_leads_and_the_connection_goes_there_and_nowhere_else() -> None:
    answers: list[list[str]] = [["127.0.0.1"], ["10.0.0.1"]]

    async def resolve(host: str, port: int) -> list[str]:
        return answers.pop(0)

    async with a_site(a=answer()) as site:
        fetcher = ImageFetcher(inner_hosts=("127.0.0.0/8",), resolve=resolve)
        assert (await fetcher.fetch(site.url(host="rebinding.test"))).data == PNG
    assert answers == [["10.0.0.1"]], "the name was resolved once"


async def test_one_inner_address_among_others_is_enough_to_refuse() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "::ffff:127.0.0.1"]

    assert (await refused(ImageFetcher(resolve=resolve), "http://mixed.test/a.png")).code == "image_address_refused"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a.png",
        "http://localhost/a.png",
        "http://127.1/a.png",
        "http://2130706433/a.png",
        "http://0x7f000001/a.png",
        "http://[::1]/a.png",
        "http://[::ffff:127.0.0.1]/a.png",
        "http://0.0.0.0/a.png",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
async def test_this_machine_is_not_asked_however_it_is_spelled(url: str) -> None:
    found = await refused(ImageFetcher(), url)
    assert found.code in ("image_address_refused", "image_fetch_failed") and "server" not in found.message


@pytest.mark.parametrize("url", ["ftp://example.org/a.png", "http://a:b@example.org/a.png", "http:///a.png", "http://[::1/a.png"])
async def test_what_is_no_address_of_the_web_is_refused(url: str) -> None:
    assert (await refused(ImageFetcher(), url)).code == "invalid_image_url"


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (answer(content_type="text/html"), "invalid_image_format"),
        (answer(body=b"x" * 2000), "image_too_large"),
        (answer(body=b"x" * 2000, content_length="100000"), "image_too_large"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n" + b"x" * 2000, "image_too_large"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 50\r\n\r\ncut", "image_fetch_failed"),
        (answer(body=b""), "image_fetch_failed"),
        (answer("404 Not Found"), "image_fetch_failed"),
        (answer("204 No Content", body=b""), "image_fetch_failed"),
        (answer(content_encoding="gzip"), "image_fetch_failed"),
        (b"this is no HTTP\r\n\r\n", "image_fetch_failed"),
    ],
)
async def test_what_is_no_image_within_the_limits_is_refused(page: bytes, code: str) -> None:
    async with a_site(a=page) as site:
        assert (await refused(ImageFetcher(max_bytes=1024, inner_hosts=LOOPBACK), site.url("/a.png"))).code == code


async def test_an_image_that_does_not_come_ends_with_the_time_limit() -> None:
    async with a_site() as site:
        found = await refused(ImageFetcher(timeout_s=0.1, inner_hosts=LOOPBACK), site.url("/never.png?token=secret"))
        assert (found.code, "within 0.1 s" in found.message, "secret" in found.message) == ("image_fetch_failed", True, False)


async def test_recent_images_are_not_fetched_again_as_long_as_there_is_room() -> None:
    async with a_site(a=answer(), b=answer(), c=answer()) as site:
        recent = RecentImages(ImageFetcher(inner_hosts=LOOPBACK), most_bytes=100)
        first = await recent.as_data(site.url("/a.png"))
        assert first == await recent.as_data(site.url("/a.png"))
        for path in ("/b.png", "/c.png", "/a.png"):
            await recent.as_data(site.url(path))
        assert site.asked == ["/a.png", "/b.png", "/c.png", "/a.png"]


async def test_no_proxy_comes_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with a_site(a=answer()) as site:
        assert (await ImageFetcher(inner_hosts=LOOPBACK).fetch(site.url())).data == PNG


# fmt: off
INNER = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "100.100.100.200", "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.0.192", "168.63.129.16", "198.18.0.1",
    "192.0.2.1", "::1", "::", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "::7f00:1", "2002:7f00:1::1", "2002:a9fe:a9fe::1",
]
OUTER = [
    "93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808",
]
# fmt: on


def test_inner_addresses_are_known_in_all_their_disguises() -> None:
    assert [address for address in INNER if not is_inner(ip_address(address))] == []
    assert [address for address in OUTER if is_inner(ip_address(address))] == []


@pytest.mark.parametrize(
    ("entry", "host", "address"),
    [
        ("images.corp", "Images.Corp.", "10.0.0.1"),
        ("10.1.0.0/16", "x.corp", "10.1.2.3"),
        ("10.1.2.3", "x.corp", "10.1.2.3"),
        ("[::1]", "::1", "::1"),
    ],
)
def test_an_operator_may_allow_hosts_inside(entry: str, host: str, address: str) -> None:
    assert Allowed((entry,)).allows(host, ip_address(address))
    assert not Allowed((entry,)).allows("other.corp", ip_address("10.2.0.1"))
