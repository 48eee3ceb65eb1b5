"""What the lists of webhooks and notifications have in common."""

from typing import Annotated, Literal

from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Meta

from api.views.fields import Time

DeliveryState = Annotated[
    Literal["waiting", "delivered", "dead"],
    Meta(description="`waiting` for an attempt; `delivered`; `dead`: given up."),
]
StateFilter = Annotated[
    Literal["waiting", "delivered", "dead"] | None,
    QueryParameter(
        name="state",
        description="Only deliveries in this state; in any if not given.",
        examples=[Example(value="dead")],
    ),
]
Attempts = Annotated[int, Meta(description="Attempts started so far.")]
Reason = Annotated[str | None, Meta(description="The error of the last attempt.")]
DueTime = Annotated[Time | None, Meta(description="When the next attempt may start, if `waiting`.")]
SettledTime = Annotated[Time | None, Meta(description="When it was delivered or given up.")]
