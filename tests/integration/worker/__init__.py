"""The worker's part, with the real database."""
