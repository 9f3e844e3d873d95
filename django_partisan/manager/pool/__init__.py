"""The workers as the manager sees them."""
