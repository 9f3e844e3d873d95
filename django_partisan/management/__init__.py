"""The commands `start_partisan` and `partisan` of `manage.py`."""
