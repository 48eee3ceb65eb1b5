"""What is live: the streams' updates, fanned out to websocket clients."""
