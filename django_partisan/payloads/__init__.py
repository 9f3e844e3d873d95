"""Arguments and results as stored text, and what of them is secret."""
