"""A soak: hours of mixed load in minutes, to see whether anything grows; `make soak` runs it."""
