"""A bare Litestar application that serves bodies from memory: what REST answers are measured beside.

`python -m bench.bare_api PORT FILE...` serves each file's content as JSON at /0, /1 and so on.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from litestar import Litestar, MediaType, Response, get
from litestar.handlers import HTTPRouteHandler


def create_app(bodies: Sequence[bytes]) -> Litestar:
    """Create the application."""
    return Litestar([_route(number, body) for number, body in enumerate(bodies)], openapi_config=None)


def _route(number: int, body: bytes) -> HTTPRouteHandler:
    @get(f"/{number}", media_type=MediaType.JSON)
    async def serve() -> Response[bytes]:
        return Response(body, media_type=MediaType.JSON)

    return serve


def main(arguments: Sequence[str]) -> None:
    """Serve until SIGTERM."""
    port, *files = arguments
    app = create_app([Path(file).read_bytes() for file in files])
    print("{}", flush=True)
    uvicorn.run(app, port=int(port), access_log=False, log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1:])
