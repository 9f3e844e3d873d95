"""An app whose processor is missing until a test installs the app."""
