"""Tables and their migrations."""
