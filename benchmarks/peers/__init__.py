"""Measures the engine side by side with other task queues, run by ``make bench-peers``."""
