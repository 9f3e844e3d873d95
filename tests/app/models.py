"""The ledger: one row per execution that really happened."""

from django.db import models


class Ledger(models.Model):
    """One execution of one task, written by the task itself.

    Fault tests compare it with the tasks' final statuses: nothing lost, nothing recorded under a
    stale lease.
    """

    task_id = models.BigIntegerField(db_index=True)
    lease = models.BigIntegerField(default=0)
    attempt = models.IntegerField(default=0)
    pid = models.IntegerField(default=0)
    note = models.TextField(blank=True, default="")
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"task {self.task_id}, lease {self.lease}, attempt {self.attempt}"
