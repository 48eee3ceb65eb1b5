"""Who sends a request, and what that allows. Pure."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from api.http.problems import Problem
from tickplant.api_keys import SCOPES, Scope
from tickplant.hosts import is_loopback

Public = Literal["read", "none"]
"""What requests without a key may do, if the settings say so."""

_STATE: Final = "caller"


class ApiCaller(Struct, frozen=True):
    """The sender of a request."""

    key_id: str | None
    """The identifier of its API key; None if it sent none."""
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Return whether a scope is granted."""
        return scope in self.scopes

    @property
    def owner(self) -> str | None:
        """The key whose alerts alone it sees and changes; None if it sees and changes those of all."""
        return None if self.may("admin") else self.key_id or ""


def scopes_without_key(host: str, public: Public | None) -> frozenset[Scope]:
    """Return what requests without a key may do: everything if only this machine can send any.

    Args:
        host: the address that the API listens on.
        public: what the settings say; None: nothing.
    """
    if public is not None:
        return frozenset({"read"}) if public == "read" else frozenset()
    return frozenset(SCOPES) if is_loopback(host) else frozenset()


def require_scope(caller: ApiCaller, scope: Scope | None) -> None:
    """Check that a caller may do what needs a scope; None: what anybody may do.

    Raises:
        Problem: it may not.
    """
    if scope is None or caller.may(scope):
        return
    if caller.key_id is None:
        raise unauthorized(
            f"this needs an API key with the scope {scope}: send it in the header Authorization: Bearer KEY;"
            " `tickplant keys create` makes one",
            scope=scope,
        )
    raise Problem(
        403,
        "insufficient_scope",
        f"the API key lacks the scope {scope}: make one that has it with `tickplant keys create`",
        headers={
            "WWW-Authenticate": f'Bearer realm="tickplant", error="insufficient_scope", scope="{scope}"'
        },
    )


def unauthorized(detail: str, **parameters: str) -> Problem:
    """Return the problem of a request whose key is missing or invalid; parameters of WWW-Authenticate."""
    shown = "".join(f', {name}="{value}"' for name, value in parameters.items())
    return Problem(
        401, "unauthorized", detail, headers={"WWW-Authenticate": f'Bearer realm="tickplant"{shown}'}
    )


def put_caller(scope: Any, caller: ApiCaller) -> None:
    """Store the caller of a request in its ASGI scope."""
    scope.setdefault("state", {})[_STATE] = caller


def caller_of(scope: Mapping[str, Any]) -> ApiCaller:
    """Return the caller of a request, which the middleware has stored."""
    caller: ApiCaller = scope["state"][_STATE]
    return caller
