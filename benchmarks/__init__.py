"""Measures of the engine and of other task queues; no part of the installed package."""
