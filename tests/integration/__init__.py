"""Tests on the real database."""
