"""What one connection and those who use it tell each other."""

import asyncio


class Session:
    """One connection, from its opening to its end."""

    def __init__(self) -> None:
        self.live = asyncio.Event()
        """Set when all symbols are subscribed to."""
        self.replace = asyncio.Event()
        """Set when the venue is about to close it, or it is about to be too old."""
        self.stop = asyncio.Event()
        """To be set when it is no longer needed."""
