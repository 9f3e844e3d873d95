"""When to claim, how many, and from where."""
