"""Unit tests of the lifecycle's rules that need no database."""
