"""Who may do what: API keys, their scopes, and the check of every request."""
