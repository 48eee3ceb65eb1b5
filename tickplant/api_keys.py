"""API keys: their text, what is stored of them, and their scopes. Pure.

A key is `tp_` + identifier + `_` + secret. The identifier is shown in lists and finds the row; of the whole
key only a SHA-256 digest is stored. The secret has 256 random bits, so that a slow hash would add nothing.
"""

import hashlib
import re
import secrets
from collections.abc import Collection
from typing import Final, Literal, NamedTuple, get_args

Scope = Literal["read", "alerts", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

_INCLUDED: Final[dict[Scope, frozenset[Scope]]] = {
    "read": frozenset({"read"}),
    "alerts": frozenset({"read", "alerts"}),
    "admin": frozenset(SCOPES),
}
_KEY: Final = re.compile(r"tp_([0-9a-f]{12})_[A-Za-z0-9_-]{43}", re.ASCII)


class NewKey(NamedTuple):
    """A key that was just made; its text is shown once."""

    key_id: str
    text: str
    digest: bytes


def make_key() -> NewKey:
    """Return a new random key."""
    key_id = secrets.token_hex(6)
    text = f"tp_{key_id}_{secrets.token_urlsafe(32)}"
    return NewKey(key_id, text, digest_of(text))


def key_id_of(text: str) -> str | None:
    """Return the identifier in the text of a key; None if the text is no key."""
    match = _KEY.fullmatch(text)
    return match[1] if match else None


def digest_of(text: str) -> bytes:
    """Return the digest of a key's text that is stored."""
    return hashlib.sha256(text.encode()).digest()


def all_scopes(given: Collection[Scope]) -> frozenset[Scope]:
    """Return the given scopes and those that they include: `admin` all, `alerts` also `read`."""
    return frozenset().union(*(_INCLUDED[scope] for scope in given))
