"""What the lists of webhooks and notifications have in common."""

from typing import Annotated, Literal, cast

from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Meta

from api.views.fields import Time
from db.deliveries import Delivery
from tickplant.times import format_time

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


def delivery_values(
    delivery: Delivery,
) -> tuple[DeliveryState, int, str | None, str, str | None, str | None]:
    """Return the last six fields of a view: from `state` to `settled_at`."""
    return (
        cast(DeliveryState, delivery.state),
        delivery.attempts,
        delivery.reason,
        format_time(delivery.created_us),
        format_time(delivery.due_us) if delivery.state == "waiting" else None,
        None if delivery.closed_us is None else format_time(delivery.closed_us),
    )
