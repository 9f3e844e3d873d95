"""Arguments and results as text."""
