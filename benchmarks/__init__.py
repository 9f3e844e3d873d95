"""Measures of the engine's speed, run by ``make bench``."""
