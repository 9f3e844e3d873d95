"""Tests of the example; ``python example/manage.py test`` runs them."""
