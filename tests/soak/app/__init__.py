"""The app whose tasks are the load of a soak."""
