"""REST for history, websockets for live updates."""
