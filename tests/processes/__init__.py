"""Tests of the real command: subprocesses and real signals."""
