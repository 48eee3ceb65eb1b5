"""Log lines: one a change of state, on standard error, in UTC."""

import logging
import time


def set_up_logs(level: str) -> None:
    """Write log records of this level and above, one line each, to standard error."""
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s")
    formatter.datefmt = "%Y-%m-%dT%H:%M:%S"
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("websockets", "uvicorn.access", "httpx", "httpcore"):  # a line a request
        logging.getLogger(noisy).setLevel(logging.WARNING)
