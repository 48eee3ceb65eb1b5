"""Types and documented responses that several routes share."""

from typing import Annotated, Final, TypeAlias, TypeVar

from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import SkipValidation
from msgspec import Meta, Struct

from api.http.problems import MEDIA_TYPE

T = TypeVar("T")

Service: TypeAlias = SkipValidation[NamedDependency[T]]
"""A service of the running API, injected into the parameter of its name."""

Next = Annotated[str | None, Meta(description="Pass it as `after` for the next page; null on the last page.")]
LiveCursor = Annotated[
    str | None,
    Meta(
        description="Pass it as `since` to a websocket to continue where this response ends; null if that is"
        " unknown.",
        examples=["3.1723161255342-0.e1723161255341-2"],
    ),
]


class ProblemDocument(Struct, frozen=True):
    """An error, as in RFC 9457. Some kinds of problem have further members."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Meta(description="What is wrong this time, and what to do about it.")]
    code: Annotated[str, Meta(description="A stable name for programs.", examples=["unknown_symbol"])]


def documented_problem(description: str) -> ResponseSpec:
    """Return the documentation of a response with a problem document."""
    return ResponseSpec(
        ProblemDocument, media_type=MEDIA_TYPE, description=description, generate_examples=False
    )


BAD_PARAMETER: Final = {
    400: documented_problem("A parameter is invalid; `parameter` names it."),
}
CONFLICT: Final = {
    409: documented_problem(
        "A parameter or field is well-formed, but conflicts with the others or with the present"
        " state; `parameter` names it."
    ),
}
UNKNOWN_PAGE: Final = {
    404: documented_problem("`after` is not a `next` of this list."),
}
UNKNOWN_SYMBOL: Final = {
    404: documented_problem(
        "There is no such symbol; `near` lists similar ones. Or `after` is not a `next` of this list."
    ),
}
UNAVAILABLE: Final = {
    503: documented_problem(
        "Redis or the database is unavailable; the header Retry-After gives the seconds to wait."
    ),
}
ORIGIN_REFUSED: Final = {
    403: documented_problem(
        "The request comes from a page of another origin, or the API key lacks the scope that this needs."
    ),
}
UNAUTHORIZED: Final = {
    401: documented_problem("An API key is needed, or the one that was sent is not valid."),
}
FORBIDDEN: Final = {
    403: documented_problem("The API key lacks the scope that this needs."),
}
BAD_BODY: Final = {
    413: documented_problem("The body is too long."),
    415: documented_problem("The content type is not `application/json`."),
}
