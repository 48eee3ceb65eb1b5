"""HTTP routes and websocket endpoints, one module a resource."""
