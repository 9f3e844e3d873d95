"""The words and the small values that processors are configured with."""
