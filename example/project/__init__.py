"""The Django project around the example application."""
