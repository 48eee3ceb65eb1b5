"""Lists of the API, read page by page."""

from typing import Any

from api_plant import Plant


async def all_rows(
    plant: Plant, path: str, name: str, *, limit: int = 1000, **parameters: Any
) -> list[dict[str, Any]]:
    """Return all rows of a list, page by page, oldest first."""
    found: list[dict[str, Any]] = []
    page = await plant.get(path, limit=limit, start="2000-01-01", **parameters)
    while True:
        found += page[name]
        if page["next"] is None:
            return found
        page = await plant.get(path, limit=limit, after=page["next"], **parameters)
