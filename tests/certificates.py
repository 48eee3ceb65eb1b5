"""Certificates for tests of TLS."""

import subprocess
from shutil import which

import pytest

from api.http.tls import TlsFiles


def make_certificate(
    files: TlsFiles,
    name: str,
    *,
    names: str = "IP:127.0.0.1,DNS:localhost",
    authority: TlsFiles | None = None,
) -> None:
    """Write a certificate that nobody else has signed if not told; each file replaces the former one."""
    if which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    assert files.key is not None
    new = TlsFiles(files.certificate.with_suffix(".new"), files.key.with_suffix(".new2"))
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    options += ["-subj", f"/CN={name}", "-addext", f"subjectAltName={names}"]
    if authority is not None:
        options += ["-CA", str(authority.certificate), "-CAkey", str(authority.key)]
        options += ["-addext", "basicConstraints=critical,CA:FALSE"]
    command = ["openssl", "req", "-x509", *options, "-keyout", str(new.key), "-out", str(new.certificate)]
    subprocess.run(command, check=True, capture_output=True)
    assert new.key is not None
    new.key.replace(files.key)
    new.certificate.replace(files.certificate)
