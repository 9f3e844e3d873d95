"""An index of the Python standard library, built by tasks."""
