"""PostgreSQL: the embedded server of a home, and connections to any server."""
