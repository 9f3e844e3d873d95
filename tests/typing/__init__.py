"""The public surface as a user's typed code sees it; checked by mypy, not run."""
