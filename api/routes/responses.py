"""What several answers have in common."""

from typing import Annotated, Final, TypeAlias, TypeVar

from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import SkipValidation
from msgspec import Meta, Struct

from api.http.problems import MEDIA_TYPE

T = TypeVar("T")

Service: TypeAlias = SkipValidation[NamedDependency[T]]
"""A part of the running API, handed to the parameter of its name."""

Next = Annotated[
    str | None, Meta(description="Give it as `after` for the next page; null where there is none.")
]
LiveCursor = Annotated[
    str | None,
    Meta(
        description="Give it as `since` to a websocket to go on where this answer ends; null where that can't"
        " be told.",
        examples=["3.1723161255342-0.e1723161255341-2"],
    ),
]


class ProblemDocument(Struct, frozen=True):
    """What went wrong, as in RFC 9457. Some kinds of problem have further members."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Meta(description="What is wrong this time, and what to do about it.")]
    code: Annotated[str, Meta(description="A stable name for programs.", examples=["unknown_symbol"])]


BAD_PARAMETER: Final[dict[int, ResponseSpec]] = {
    400: ResponseSpec(
        ProblemDocument,
        media_type=MEDIA_TYPE,
        description="A parameter is wrong; `parameter` says which.",
        generate_examples=False,
    )
}
CONFLICT: Final[dict[int, ResponseSpec]] = {
    409: ResponseSpec(
        ProblemDocument,
        media_type=MEDIA_TYPE,
        description="A parameter or field is well-formed, but not possible with the others or as things are;"
        " `parameter` says which.",
        generate_examples=False,
    )
}
UNKNOWN_PAGE: Final[dict[int, ResponseSpec]] = {
    404: ResponseSpec(
        ProblemDocument,
        media_type=MEDIA_TYPE,
        description="`after` is not what `next` of this list was.",
        generate_examples=False,
    )
}
UNKNOWN_SYMBOL: Final[dict[int, ResponseSpec]] = {
    404: ResponseSpec(
        ProblemDocument,
        media_type=MEDIA_TYPE,
        description="There is no such symbol; `near` lists those that may have been meant. Or, where there is"
        " `after`, it is not what `next` of this list was.",
        generate_examples=False,
    )
}
UNAVAILABLE: Final[dict[int, ResponseSpec]] = {
    503: ResponseSpec(
        ProblemDocument,
        media_type=MEDIA_TYPE,
        description="Redis or the database is away; the header Retry-After says when to try again.",
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
        description="The body is of another type than `application/json`.",
        generate_examples=False,
    ),
}
