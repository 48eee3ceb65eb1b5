"""Requests of webhooks over TLS."""

import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from shutil import which

import pytest
from receiving import receiving

from tickplant.webhooks import AddressGuard
from workers.outbox import FailedError
from workers.webhooks.sender import Sender


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "key.pem"


@pytest.fixture
def certificate(tmp_path: Path, key: Path) -> Path:
    """Of hooks.test, signed by nobody else."""
    if which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    path = tmp_path / "certificate.pem"
    options = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    options += ["-addext", "subjectAltName=DNS:hooks.test", "-keyout", str(key), "-out", str(path)]
    subprocess.run(["openssl", "req", "-x509", *options], check=True, capture_output=True)
    return path


async def resolve_to_loopback(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


async def test_tls_is_checked_against_the_name_of_the_host(certificate: Path, key: Path) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with receiving(serving) as receiver:
        guard = AddressGuard(["127.0.0.1"], resolve_to_loopback)
        sender = Sender(guard, tls=trusting)
        await sender.send(receiver.url("hooks.test", scheme="https"), b"{}", {})
        with pytest.raises(FailedError, match="CERTIFICATE_VERIFY_FAILED"):
            await sender.send(receiver.url("other.test", scheme="https"), b"{}", {})
        await sender.close()
        strict = Sender(guard)
        with pytest.raises(FailedError, match="CERTIFICATE_VERIFY_FAILED"):
            await strict.send(receiver.url("hooks.test", scheme="https"), b"{}", {})
        await strict.close()
    assert len(receiver.requests) == 1
