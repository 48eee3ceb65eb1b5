"""Calls the functions of REST's routes, and translates their parameters."""

from typing import Any, Protocol

import msgspec
from litestar.handlers import BaseRouteHandler

from api.app import Services
from api.http.paging import DEFAULT_PAGE_LENGTH, MAX_PAGE_LENGTH
from api.http.problems import bad_parameter, wrong_value
from api.queries.history import MAX_US, MIN_US
from api.requests.alerts import User
from api.routes.parameters import PageRequest, RangePageRequest
from tickplant.times import format_time


class PageFields(Protocol):
    """A request for a page."""

    page_size: int
    page_token: str


class Routes:
    """The functions of routes, with their services."""

    def __init__(self, services: Services) -> None:
        """Take the services that are passed to routes which have a parameter of their name."""
        self._services = services

    async def call(self, route: BaseRouteHandler, **arguments: Any) -> Any:
        """Return what the function of a route returns; raises as that."""
        services = {
            name: getattr(self._services, name)
            for name in route.parsed_fn_signature.parameters
            if name in Services.__struct_fields__
        }
        return await route.fn(**services, **arguments)


def page_request(request: PageFields) -> PageRequest:
    """Return the requested page of a list.

    Raises:
        Problem: its size is out of bounds.
    """
    return PageRequest(_page_size(request), request.page_token or None)


def range_page_request(request: Any) -> RangePageRequest:
    """Return the requested page of a list in order of time; raises as `page_request`."""
    start, end = (
        format_time(min(max(getattr(request, name), MIN_US), MAX_US)) if request.HasField(name) else None
        for name in ("start_us", "end_us")
    )
    return RangePageRequest(limit=_page_size(request), after=request.page_token or None, start=start, end=end)


def symbol_name(text: str) -> str:
    """Return the name of a symbol.

    Raises:
        Problem: it is empty.
    """
    if not text:
        raise bad_parameter("symbol", "name one, such as binance:BTCUSDT")
    return text


def user_filter(text: str) -> str | None:
    """Return the user that a list is restricted to; None for all.

    Raises:
        Problem: no user can have that name.
    """
    if not text:
        return None
    try:
        return msgspec.convert(text, User)
    except msgspec.ValidationError as error:
        raise wrong_value("user", str(error), {}) from error


def _page_size(request: PageFields) -> int:
    if not 0 <= request.page_size <= MAX_PAGE_LENGTH:
        raise bad_parameter(
            "page_size", f"must be from 1 to {MAX_PAGE_LENGTH}, or 0 for {DEFAULT_PAGE_LENGTH}"
        )
    return request.page_size or DEFAULT_PAGE_LENGTH
