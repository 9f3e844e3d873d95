"""Enqueueing one task, or finding the duplicate that waits already."""

from __future__ import annotations

from functools import partial

from django.db import connections

from django_partisan.database import dialect_for
from django_partisan.database.values import NewTask
from django_partisan.exceptions import DuplicateNotVisible
from django_partisan.lifecycle.conflicts import tried_again
from django_partisan.lifecycle.expiry import expire, expired_among
from django_partisan.lifecycle.instances import inserted_instance
from django_partisan.lifecycle.notifications import announce
from django_partisan.lifecycle.rows import database, task_rows
from django_partisan.lifecycle.telling import tell_enqueued
from django_partisan.lifecycle.uniqueness import keeps_out
from django_partisan.models import Task


def enqueue(new_task: NewTask, on_duplicate: str) -> Task:
    """Store a new task in the caller's transaction and return it, or the duplicate that waits."""
    alias = database()
    unique = None if new_task.unique_hash is None else new_task.processor_class
    task = tried_again(alias, partial(_enqueue, alias, new_task, on_duplicate), unique=unique)
    tell_enqueued([task])
    return task


def _enqueue(alias: str, new_task: NewTask, on_duplicate: str) -> Task:
    inserted = None
    for _ in range(20):
        inserted = dialect_for(alias).insert(connections[alias], new_task, on_duplicate)
        if inserted is not None:
            break
        # The duplicate may be claimed between the two statements: then its key is free again.
        duplicate = task_rows().filter(unique_key=new_task.unique_hash).first()
        if duplicate is not None and (expired := expired_among([duplicate])):
            expire(expired)  # It keeps nothing out any more.
        elif duplicate is not None and keeps_out(duplicate):
            duplicate.was_duplicate = True
            return duplicate
    if inserted is None:
        raise DuplicateNotVisible(new_task.processor_class)
    announce(alias, new_task.queue_name)
    task = None if inserted.is_new else task_rows().filter(pk=inserted.id).first()
    # What was changed may have run and be deleted by now: then it ran with what was given here.
    task = task or inserted_instance(alias, new_task, inserted)
    task.was_duplicate = not inserted.is_new
    return task
