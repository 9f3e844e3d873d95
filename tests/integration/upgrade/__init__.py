"""From 1.6.1 to today."""
