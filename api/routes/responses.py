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


BAD_PARAMETER: Final[dict[int, ResponseSpec]] = {
    400: ResponseSpec(
        ProblemDocument,
        media_type=MEDIA_TYPE,
        description="A parameter is invalid; `parameter` names it.",
        generate_examples=False,
    )
}
CONFLICT: Final[dict[int, ResponseSpec]] = {
    409: ResponseSpec(
        ProblemDocument,
        media_type=MEDIA_TYPE,
        description="A parameter or field is well-formed, but conflicts with the others or with the present"
        " state; `parameter` names it.",
        generate_examples=False,
    )
}
UNKNOWN_PAGE: Final[dict[int, ResponseSpec]] = {
    404: ResponseSpec(
        ProblemDocument,
        media_type=MEDIA_TYPE,
        description="`after` is not a `next` of this list.",
        generate_examples=False,
    )
}
UNKNOWN_SYMBOL: Final[dict[int, ResponseSpec]] = {
    404: ResponseSpec(
        ProblemDocument,
        media_type=MEDIA_TYPE,
        description="There is no such symbol; `near` lists similar ones. Or `after` is not a `next` of this"
        " list.",
        generate_examples=False,
    )
}
UNAVAILABLE: Final[dict[int, ResponseSpec]] = {
    503: ResponseSpec(
        ProblemDocument,
        media_type=MEDIA_TYPE,
        description="Redis or the database is unavailable; the header Retry-After gives the seconds to wait.",
        generate_examples=False,
    )
}
ORIGIN_REFUSED: Final[dict[int, ResponseSpec]] = {
    403: ResponseSpec(
        ProblemDocument,
        media_type=MEDIA_TYPE,
        description="The request comes from a page of another origin.",
        generate_examples=False,
    )
}
BAD_BODY: Final[dict[int, ResponseSpec]] = {
    413: ResponseSpec(
        ProblemDocument,
        media_type=MEDIA_TYPE,
        description="The body is too long.",
        generate_examples=False,
    ),
    415: ResponseSpec(
        ProblemDocument,
        media_type=MEDIA_TYPE,
        description="The content type is not `application/json`.",
        generate_examples=False,
    ),
}
