"""JSON views, one module per topic, the same over REST and websockets. Pure."""
