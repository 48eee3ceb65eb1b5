"""The checks of health, without servers."""

import asyncio
import warnings
from types import SimpleNamespace
from typing import Any

from api.health import Health


async def test_a_check_that_is_cancelled_as_it_begins_leaves_nothing_behind() -> None:
    """As at the end of a server that looks at its health again and again."""
    replica: Any = SimpleNamespace(separate=False)
    nothing: Any = None
    health = Health(redis=nothing, pool=nothing, replica=replica, hub=nothing, connections=nothing)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        checking = asyncio.create_task(health.can_serve())
        await asyncio.sleep(0)  # the checks of the servers are about to begin
        checking.cancel()
        await asyncio.wait([checking])
    assert [str(warning.message) for warning in seen] == []
    assert checking.cancelled()
