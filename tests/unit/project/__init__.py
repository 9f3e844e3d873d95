"""The project itself: its documentation, its tools, its own rules."""
