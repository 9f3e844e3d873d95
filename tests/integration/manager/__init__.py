"""The manager's part, with the real database."""
