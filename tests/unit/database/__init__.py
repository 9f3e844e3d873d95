"""The process that claims, hands out and records."""
