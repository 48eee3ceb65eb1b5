"""Pages, each in one file that needs nothing from elsewhere."""
