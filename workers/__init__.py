"""Workers: consumers of Redis streams that write to the database."""
