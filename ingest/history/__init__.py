"""A venue's history: what is missing or lies before the first trade, fetched over REST."""
