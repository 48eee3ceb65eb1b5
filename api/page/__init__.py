"""HTML pages, each in one file without external resources."""
