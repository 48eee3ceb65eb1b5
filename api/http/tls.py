"""TLS with a certificate and a key in files, which are loaded again when they change."""

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Final, NamedTuple

from tickplant.errors import SettingsError

_log = logging.getLogger(__name__)

POLL_S: Final = 5.0
"""How often files are checked for changes."""


class TlsFiles(NamedTuple):
    """Files in PEM format."""

    certificate: Path
    """With the certificates that lead to a known authority."""
    key: Path | None
    """None: it is in the certificate's file."""


class ServerTls:
    """The TLS of a server, whose new connections use the files' current content."""

    def __init__(self, files: TlsFiles) -> None:
        """Load files.

        Raises:
            SettingsError: they can't be used.
        """
        self._files = files
        self._state = self._stat()
        self.loaded = 1
        """How many times the files were loaded."""
        try:
            self.context = _load(files)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError([_problem(files, error)]) from error

    async def run(self) -> None:
        """Load files that have changed, until cancelled; while they can't be used, the former ones stay."""
        while True:
            await asyncio.sleep(POLL_S)
            await self._reload()

    async def _reload(self) -> None:
        state = await asyncio.to_thread(self._stat)
        if state == self._state:
            return
        self._state = state
        try:
            _load(
                self._files
            )  # into another context first: a key of another certificate would break this one
            self.context.load_cert_chain(*self._files, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            _log.error("%s; connections get the former certificate", _problem(self._files, error))
        else:
            self.loaded += 1
            _log.info("the certificate in %s has been loaded again", self._files.certificate)

    def _stat(self) -> list[tuple[int, int, int] | None]:
        """Return what changes with the files; None for one that can't be read."""
        found: list[tuple[int, int, int] | None] = []
        for path in filter(None, self._files):
            try:
                stat = path.stat()
            except OSError:
                found.append(None)
            else:
                found.append((stat.st_mtime_ns, stat.st_ino, stat.st_size))
        return found


def _load(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(*files, password=_no_password)
    return context


def _no_password() -> str:
    raise OSError("the key has a password")


def _problem(files: TlsFiles, error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return (
        f"TICKPLANT_API_TLS_CERT, TICKPLANT_API_TLS_KEY: can't use {files.certificate} with"
        f" {files.key or 'the key in it'}: {str(reason).replace('_', ' ').lower()}; give a certificate chain"
        " and its key without a password, in PEM format, readable by this user"
    )
