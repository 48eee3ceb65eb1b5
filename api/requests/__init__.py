"""Bodies of requests, and the checks on them."""
