"""What `manage.py` offers for tasks."""
