"""Errors of the network are described in words, not by numbers of the system."""

import errno
import socket
import ssl

import httpx
import pytest

from tickplant.network_errors import network_reason, system_reason

UNRESOLVED = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)")
TAKEN = OSError(
    errno.EADDRINUSE, "error while attempting to bind on address ('::1', 1): address already in use"
)


def wrapped(error: OSError) -> httpx.ConnectError:
    outer = httpx.ConnectError(str(error))
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UNRESOLVED, "the host name can't be resolved"),
        (wrapped(UNRESOLVED), "the host name can't be resolved"),
        (REFUSED, "Connection refused"),
        (wrapped(REFUSED), "Connection refused"),
        (TAKEN, "Address already in use"),
    ],
)
def test_what_the_system_reports_is_given_in_words(error: Exception, reason: str) -> None:
    assert network_reason(error) == system_reason(error) == reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            ConnectionError("through the proxy http://a:1: no"),
            "ConnectionError: through the proxy http://a:1: no",
        ),
        (ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] expired"), None),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_errors_with_a_text_of_their_own_keep_it(error: Exception, reason: str | None) -> None:
    assert system_reason(error) is None
    assert network_reason(error) == (reason or f"SSLCertVerificationError: {error}")
