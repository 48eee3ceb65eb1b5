"""Files of certificates that can't be used."""

import asyncio
import ssl
from pathlib import Path

import pytest
from certificates import make_certificate

from api.http.tls import ServerTls, TlsFiles
from tickplant.errors import SettingsError


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    made = TlsFiles(tmp_path / "plant.crt", tmp_path / "plant.key")
    make_certificate(made, "first")
    return made


async def test_a_key_of_another_certificate_leaves_the_former_one_in_use(
    files: TlsFiles, tmp_path: Path
) -> None:
    tls = ServerTls(files)
    other = TlsFiles(tmp_path / "other.crt", tmp_path / "other.key")
    make_certificate(other, "other")
    assert files.key is not None
    assert other.key is not None
    other.key.replace(files.key)
    await tls._reload()
    reader = ssl.create_default_context(cafile=str(files.certificate))
    served = asyncio.Event()
    server = await asyncio.start_server(lambda *_: served.set(), "127.0.0.1", 0, ssl=tls.context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=reader)
        writer.close()


@pytest.mark.parametrize("content", ["", "no PEM", None])
def test_files_that_can_not_be_used_are_reported(files: TlsFiles, content: str | None) -> None:
    if content is None:
        files.certificate.unlink()
    else:
        files.certificate.write_text(content)
    with pytest.raises(SettingsError, match="TICKPLANT_API_TLS_CERT"):
        ServerTls(files)
