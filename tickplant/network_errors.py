"""Errors of the network in words for people."""

import os
import socket
from typing import Final

_RAW: Final = "[Errno "
"""How the text of an error begins that is only the system's, with its number and perhaps an address."""


def network_reason(error: BaseException) -> str:
    """Return why a connection failed or an address can't be used."""
    name = type(error).__name__
    return system_reason(error) or (f"{name}: {error}" if str(error) else name)


def system_reason(error: BaseException) -> str | None:
    """Return what the operating system or its resolver says; None if the error has a text of its own."""
    if not str(error).startswith(_RAW):
        return None
    if isinstance(error, socket.gaierror):
        return "the host name can't be resolved"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    cause = error.__cause__ or error.__context__  # HTTP clients wrap it, with the same text
    return system_reason(cause) if cause is not None else None
