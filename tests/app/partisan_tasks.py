"""The processors that the tests run."""
