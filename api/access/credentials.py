"""Finds the API key in a request: in a header or a websocket's subprotocols, never in the address. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from api.http.problems import Problem
from tickplant.api_keys import key_id_of

KEY_PROTOCOL: Final = "tickplant.key."
"""A websocket's subprotocol that consists of this and a key: browsers can set no header."""

BINANCE_HEADER: Final = b"x-mbx-apikey"
"""Where clients of Binance send a key; it may be one of this API."""

_NAMES: Final = frozenset({"key", "api_key", "apikey", "token", "access_token", "authorization"})
_MAX_FIELDS: Final = 100


def find_key(scope: Mapping[str, Any]) -> str | None:
    """Return the key that a request carries, valid or not; None if there is none.

    Other schemes than Bearer are a proxy's own business, and keys of Binance, which its clients send to
    every server, are nobody's.

    Raises:
        Problem: a key is in the address, or there are several.
    """
    refuse_key_in_address(scope["query_string"])
    found = {
        value.decode("latin-1").partition(" ")[2].strip()
        for name, value in scope["headers"]
        if name == b"authorization" and value[:7].lower() == b"bearer "
    }
    found |= {
        value.decode("latin-1")
        for name, value in scope["headers"]
        if name == BINANCE_HEADER and key_id_of(value.decode("latin-1"))
    }
    protocols = scope.get("subprotocols") or ()
    found |= {name.removeprefix(KEY_PROTOCOL) for name in protocols if name.startswith(KEY_PROTOCOL)}
    if len(found) > 1:
        raise Problem(400, "bad_request", "the request carries several API keys; send one")
    return found.pop() if found else None


def refuse_key_in_address(query: bytes) -> None:
    """Refuse a key in a query string.

    Raises:
        Problem: there is one.
    """
    if not query:
        return
    fields = _fields(query)
    if any(name.lower() in _NAMES for name, _ in fields) or any(key_id_of(value) for _, value in fields):
        raise Problem(
            400,
            "key_in_address",
            "an API key must not be in an address, which logs and histories keep: send it in the header"
            " Authorization: Bearer KEY, over websockets also as subprotocol or first message; if it was"
            " a valid key, revoke it with `tickplant keys revoke`",
        )


def without_key(protocols: Iterable[str]) -> list[str]:
    """Return the subprotocols that a client offers, without its key."""
    return [name for name in protocols if not name.startswith(KEY_PROTOCOL)]


def _fields(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise Problem(400, "bad_request", "the query has too many parameters") from error
