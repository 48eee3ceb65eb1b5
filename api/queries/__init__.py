"""What callers ask for, read from the database and Redis."""
