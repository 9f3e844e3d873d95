"""The app whose tasks the measures run."""
