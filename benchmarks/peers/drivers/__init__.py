"""One module for each task queue that is measured; each runs in an environment of its own.

A driver has a task, which calls :func:`benchmarks.peers.journal.mark`, and four functions:
``prepare()`` makes what must exist, ``enqueue_many(numbers)`` enqueues in the fastest documented
way, ``enqueue_one(number)`` in the usual way, and ``is_recorded(tasks)`` says whether the queue
itself knows so many tasks as done.
"""
