"""From Redis streams to the database: consumer-group workers, one role a module."""
