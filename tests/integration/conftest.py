"""What tests of rows have: all of them two queues."""

from tests.support.queues import two_queues

__all__ = ["two_queues"]
