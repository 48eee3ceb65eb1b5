"""REST for history and websockets for what is live."""
