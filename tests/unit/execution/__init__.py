"""One attempt, run and judged."""
