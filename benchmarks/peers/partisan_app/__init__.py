"""A Django app whose tasks write into the journal."""
