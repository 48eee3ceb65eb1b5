"""Live updates from the streams, fanned out to websocket clients."""
