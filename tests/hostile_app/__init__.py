"""An app whose tasks misbehave in every way that a test has thought of."""
