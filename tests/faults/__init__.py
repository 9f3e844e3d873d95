"""Tests of faults that need a database server of their own, to stop it, attack it or cut it off."""
