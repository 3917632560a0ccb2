"""Tunnels to hosts of an allow-list: who may be reached, at which address, and whom the client then speaks to."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agentrt.containers.egress.hello import NoHello, server_name
from containers.egress.conftest import Open, Outlet

pytestmark = pytest.mark.anyio

NAMES = ("api.example.com", "other.example.com")


class Site:
    """A TLS server that answers every line with itself."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[bytes] = []
        self._certificate = folder / "site.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "example")])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=2))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in NAMES]), critical=False)
            .sign(key, hashes.SHA256())
        )
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self._certificate.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
        self.trusted = ssl.create_default_context(cafile=str(self._certificate))

    async def open(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.lines.append(line)
                writer.write(line)
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    def close(self) -> None:
        self._server.close()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)
    await made.open()
    yield made
    made.close()


class Names:
    """A resolver that says what a test wants, and counts how often it was asked."""

    def __init__(self, **addresses: str) -> None:
        self.addresses, self.asked = addresses, 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        found = self.addresses.get(host.replace(".", "_"))
        if found is None:
            raise OSError("unknown")
        return found.split()


async def connect(outlet: Outlet, target: str) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await outlet.connect()
    writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    async with asyncio.timeout(30):
        return await reader.readuntil(b"\r\n\r\n"), reader, writer


async def test_a_host_of_the_list_is_reached_and_spoken_to_by_its_name(open_: Open, site: Site) -> None:
    names = Names(api_example_com="127.0.0.1")
    options = {"resolve": names, "inner_hosts": ("127.0.0.1",), "tls_port": site.port}
    async with open_(rule={"hosts": ("api.example.com",)}, **options) as outlet, asyncio.timeout(30):
        said, reader, writer = await connect(outlet, f"API.example.com:{site.port}")
        assert said == b"HTTP/1.1 200 Connection established\r\n\r\n"
        await writer.start_tls(site.trusted, server_hostname="api.example.com")
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        writer.close()
        (event,) = await outlet.audited()
        assert (event.upstream, event.method, event.status, event.reason) == ("api.example.com", "CONNECT", 200, "")
        assert event.sent_bytes > 200
        assert event.received_bytes > 200
        assert names.asked == 1, "resolved once: what answers a second time is not asked"


async def test_another_name_in_the_first_message_ends_the_tunnel(open_: Open, site: Site) -> None:
    options = {"resolve": Names(api_example_com="127.0.0.1"), "inner_hosts": ("127.0.0.1",), "tls_port": site.port}
    async with open_(rule={"hosts": ("api.example.com",)}, **options) as outlet, asyncio.timeout(30):
        for count, name in enumerate(("other.example.com", None), 1):
            _, _, writer = await connect(outlet, f"api.example.com:{site.port}")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await writer.start_tls(context, server_hostname=name or "127.0.0.1")
            writer.close()
            assert (await outlet.audited(count))[-1].reason == "server_name_differs"
        for count, first in enumerate(
            (b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n", b"\x16\x03\x01\x00\x02\x01\x00", b"SSH-2.0-x\r\n"), 3
        ):
            _, reader, writer = await connect(outlet, f"api.example.com:{site.port}")
            writer.write(first)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            assert (await outlet.audited(count))[-1].reason == "server_name_differs"
        assert site.lines == []


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("evil.example:443", "host_not_allowed"),
        ("api.example.com.evil.example:443", "host_not_allowed"),
        ("evilapi.example.com:443", "host_not_allowed"),
        ("a.wild.example@evil.example:443", "target"),
        ("wild.example:443", "host_not_allowed"),
        ("api.example.com:80", "port_not_allowed"),
        ("api.example.com:22", "port_not_allowed"),
        ("api.example.com:99999", "port_not_allowed"),
        ("127.0.0.1:443", "host_not_allowed"),
        ("[::1]:443", "target"),
        ("169.254.169.254:443", "host_not_allowed"),
        ("2130706433:443", "host_not_allowed"),
        ("0x7f.1:443", "host_not_allowed"),
        ("0177.0.0.1:443", "host_not_allowed"),
        ("api.example.com", "target"),
        ("https://api.example.com:443", "target"),
        ("/api.example.com:443", "target"),
        ("gone.wild.example:443", "host_unknown"),
    ],
)
async def test_what_is_not_on_the_list_is_not_reached(open_: Open, target: str, reason: str) -> None:
    hosts = ("api.example.com", "*.wild.example", "127.0.0.1", "169.254.169.254", "*")
    async with open_(rule={"hosts": hosts[:-1]}, resolve=Names()) as outlet:
        said = await outlet.say(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        assert said[9:10] in (b"4", b"5"), said
        assert (await outlet.audited())[0].reason in (reason, "malformed")


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "168.63.129.16",
     "::1", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "224.0.0.1",
     "255.255.255.255", "93.184.216.34 127.0.0.1"],
)  # fmt: skip
async def test_a_name_that_points_inside_is_refused(open_: Open, address: str) -> None:
    names = Names(api_example_com=address)
    async with open_(rule={"hosts": ("api.example.com",)}, resolve=names) as outlet:
        said = await outlet.say(b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 403 ")
        assert (await outlet.audited())[0].reason == "address_refused"


async def test_no_credential_and_no_body_goes_into_a_tunnel(open_: Open) -> None:
    async with open_(rule={"hosts": ("api.example.com",)}, resolve=Names()) as outlet:
        said = await outlet.say(b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: a\r\nX: {{agentrt:SECRET}}\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 403 ")
        said = await outlet.say(b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        assert said.startswith(b"HTTP/1.1 400 ")


async def test_made_up_names_below_one_make_up_no_limits(open_: Open) -> None:
    async with open_(rule={"hosts": ("*.example.com",)}, resolve=Names()) as outlet:
        for n in range(600):
            assert (await outlet.say(f"CONNECT n{n}.example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n".encode()))[9:12] == b"502"
        assert (await outlet.say(b"CONNECT another.example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n"))[9:12] == b"429"


async def test_without_a_list_there_is_no_tunnel(open_: Open, site: Site) -> None:
    options = {"resolve": Names(api_example_com="127.0.0.1"), "inner_hosts": ("127.0.0.1",), "tls_port": site.port}
    async with open_(**options) as outlet:
        said, _, writer = await connect(outlet, f"api.example.com:{site.port}")
        assert said.startswith(b"HTTP/1.1 403 ")
        writer.close()


def hello(name: str) -> bytes:
    """What a real client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def in_records(data: bytes, size: int) -> bytes:
    """The same message in more records."""
    message = data[5:]
    pieces = [message[n : n + size] for n in range(0, len(message), size)]
    return b"".join(data[:3] + len(piece).to_bytes(2) + piece for piece in pieces)


async def test_the_name_is_read_from_any_beginning_of_a_hello() -> None:
    whole = hello("api.example.com")
    assert server_name(whole) == "api.example.com"
    assert [server_name(whole[:n]) for n in range(len(whole))] == [None] * len(whole)
    for size in (1, 7, 100):
        assert server_name(in_records(whole, size) + b"more") == "api.example.com"


async def test_what_is_no_hello_is_refused_and_never_crashes() -> None:
    whole = bytearray(hello("api.example.com"))
    for at in range(len(whole)):
        for byte in (0, 1, 0x7F, 0xFF):
            changed = bytes(whole[:at]) + bytes([byte]) + bytes(whole[at + 1 :])
            with suppress(NoHello):
                assert server_name(changed) != ""
    for nonsense in (b"GET / HTTP/1.1", b"\x16\x02", b"\x15\x03\x01", b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\xff\xff"):
        with pytest.raises(NoHello):
            server_name(nonsense)
