"""The ways to a provider other than a plain connection: TLS with roots of one's own, and a proxy."""

import asyncio
import datetime
import importlib
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agentrt.providers import ModelFailure, ProviderEntry
from agentrt.providers.transport import Transport

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(params=["native", "sdk"])
def carrier(request: pytest.FixtureRequest) -> str:
    importlib.import_module("openai")  # the second that it takes is not to count in limits
    return request.param


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 127.0.0.1, signed by itself; the file holds its key too."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "agentrt tests")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    own = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    file.write_bytes(made.public_bytes(pem) + own)
    return file


@asynccontextmanager
async def listening(tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[str]]]:
    """A server that answers every request, and the first lines of what it was asked."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked.append((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[0])
                writer.write(OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1], asked


def context(certificate: Path) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(certificate)
    made.set_alpn_protocols(["h2", "http/1.1"])
    return made


async def models(**entry: Any) -> bytes:
    transport = Transport("acme", ProviderEntry(api_key="k", **entry))
    try:
        return await transport.get("/models", within_s=5)
    finally:
        await transport.close()


async def test_a_root_of_ones_own_is_trusted_by_the_usual_variable(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, carrier: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with listening(context(certificate)) as (port, asked):
        assert await models(base_url=f"https://127.0.0.1:{port}", client=carrier) == b"{}"
    assert asked == ["GET /models HTTP/1.1"]


def test_a_certificate_that_nobody_trusts_is_named(certificate: Path, carrier: str) -> None:
    async def failing() -> str:
        async with listening(context(certificate)) as (port, _):
            with pytest.raises(ModelFailure) as caught:
                await models(base_url=f"https://127.0.0.1:{port}", client=carrier)
        assert not caught.value.retryable
        return caught.value.message

    # Not on uvloop: there a failed handshake surfaces in the test runner too, beside our own failure.
    assert asyncio.run(failing()) == "acme: the TLS certificate of 127.0.0.1 is not trusted"


async def test_a_proxy_is_asked_where_an_entry_names_one(carrier: str) -> None:
    async with listening() as (port, asked):
        assert await models(base_url="http://nowhere.invalid/v1", proxy=f"http://127.0.0.1:{port}", client=carrier) == b"{}"
    assert asked == ["GET http://nowhere.invalid/v1/models HTTP/1.1"]


async def test_a_proxy_that_is_not_there_is_said(carrier: str) -> None:
    with pytest.raises(ModelFailure, match="the proxy refused the connection"):
        await models(base_url="http://nowhere.invalid/v1", proxy="http://127.0.0.1:9", client=carrier)
