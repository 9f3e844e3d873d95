"""The verbs of `manage.py partisan`."""
