"""An app whose processors have schedules of the code."""
