"""The project itself, with the real database."""
