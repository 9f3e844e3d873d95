"""Tests without a database and without sleeping."""
