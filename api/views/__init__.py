"""JSON views, one module a topic, the same over REST and websockets. Pure."""
