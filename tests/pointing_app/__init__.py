"""An app whose models point at tasks; it is installed, with its tables, for a few tests only."""
