"""Connections to servers are encrypted where the URL asks for it, and certificates are checked.

The bundled servers speak no TLS, so a process in front of them does, as stunnel or a cloud's load
balancer would.
"""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from storage.postgres_server import url_of
from storage.valkey import fresh_url
from turnkeep import SessionStore, StorageError

pytestmark = pytest.mark.anyio

_REQUEST = {80877103: b"S", 80877104: b"N"}  # of PostgreSQL: SSL, and GSS


class Certificate:
    """A certificate of its own authority, for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
        now = datetime.datetime.now(datetime.timezone.utc)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.file = folder / "certificate.pem"
        self.key = folder / "key.pem"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        self.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


class TlsFront:
    """Speaks TLS in front of a server; with `asks`, as PostgreSQL begins it."""

    def __init__(
        self, certificate: Certificate, connect: Callable[[], socket.socket], *, asks: bool
    ) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate.file, certificate.key)
        self._connect = connect
        self._asks = asks
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.handshakes = 0
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), plain:
            answer = b"N" if self._asks else b"S"
            while answer == b"N":
                answer = _REQUEST.get(int.from_bytes(plain.recv(8)[4:]), b"")
                plain.sendall(answer)
            if answer != b"S":
                return
            with self._context.wrap_socket(plain, server_side=True) as near, self._connect() as far:
                self.handshakes += 1
                near.settimeout(0.05)
                answers = Thread(target=_carry, args=(far, near), daemon=True)
                answers.start()
                while answers.is_alive():
                    with suppress(TimeoutError):
                        data = near.recv(1 << 20)
                        if not data:
                            far.shutdown(socket.SHUT_RDWR)
                            return
                        far.sendall(data)


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate(tmp_path)


@pytest.fixture(params=["rediss", "postgresql"])
def secured(
    request: pytest.FixtureRequest, certificate: Certificate, tmp_path: Path
) -> Iterator[tuple[str, TlsFront]]:
    """Give a URL that has to be checked, and the front of its server."""
    if request.param == "rediss":
        parts = urlsplit(fresh_url())
        front = TlsFront(
            certificate,
            lambda: socket.create_connection((parts.hostname or "", parts.port or 6379)),
            asks=False,
        )
        url = f"rediss://127.0.0.1:{front.port}?{parts.query}&ssl_ca_certs="
    else:
        parts = urlsplit(url_of(tmp_path))
        query = parse_qs(parts.query)
        host = query.get("host", [parts.hostname or ""])[0]
        port = query.get("port", [str(parts.port or 5432)])[0]

        def connect() -> socket.socket:
            if not host.startswith("/"):
                return socket.create_connection((host, int(port)))
            there = socket.socket(socket.AF_UNIX)
            there.connect(f"{host}/.s.PGSQL.{port}")
            return there

        front = TlsFront(certificate, connect, asks=True)
        schema = query["schema"][0]
        user = "".join(parts.netloc.rpartition("@")[:2])
        url = (
            f"postgresql://{user}127.0.0.1:{front.port}{parts.path}?schema={schema}"
            "&sslmode=verify-full&sslrootcert="
        )
    yield url, front
    front.close()


async def test_a_server_whose_certificate_is_known_is_used(
    secured: tuple[str, TlsFront], certificate: Certificate
) -> None:
    url, front = secured
    async with SessionStore(url + quote(str(certificate.file))) as store:
        for number in range(20):
            await store.session("chat:1").append("user", f"{number} {'x' * 20_000}")
        assert len(await store.session("chat:1").get_history()) == 20
    assert front.handshakes > 0


async def test_a_server_whose_certificate_is_not_known_is_refused(
    secured: tuple[str, TlsFront], tmp_path: Path
) -> None:
    url, front = secured
    (tmp_path / "other").mkdir()
    other = Certificate(tmp_path / "other")
    with pytest.raises(StorageError, match=r"(?i)certificate"):
        async with SessionStore(url + quote(str(other.file))):
            pass
    assert front.handshakes == 0
