"""The database connections of a worker, tidied between tasks: nothing of one reaches the next."""

from __future__ import annotations

import contextlib
import select
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.db import DataError, Error, IntegrityError, ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from django_partisan.database.sessions import (
    driver_state,
    foreign_receivers,
    is_django_s_own,
    is_in_transaction,
    is_pooled,
    leave_pools,
    make_fresh,
    outlasts_discard,
    raw_connection,
)
from django_partisan.database.watchdog import Watchdog
from django_partisan.exceptions import AtomicityLost
from django_partisan.registry.registry import registry
from django_partisan.worker.handed_out import SESSION, watch_hand_outs
from django_partisan.worker.threads_at_rest import is_at_rest

_PING_SECONDS: Final = 3.0
_OWN_ERRORS: Final = (DataError, IntegrityError, ProgrammingError)
"""Errors of a statement, not of its session."""

_OWN: Final = contextlib.nullcontext()
_sessions: dict[int, weakref.ref[Session]] = {}
"""Every connection that was ever opened and still is there, whichever thread it belongs to."""
_wrappers: dict[str, list[Any]] = {}
_atomic: list[_AtomicAttempt] = []
"""The one that is made just now, if any."""


def watch_connections() -> None:
    """Watch every connection that this process opens from now on; each will be a plain one."""
    leave_pools()
    watch_hand_outs()
    for connection in connections.all(initialized_only=True):
        _wrappers[connection.alias] = list(connection.execute_wrappers)
    connection_created.connect(_watch, dispatch_uid="django_partisan.worker.connections")


def tidy_connections(processor_class: str = "") -> None:
    """Leave nothing of a task in any database session, whatever it did to it.

    A good connection stays open: opening one per task costs more than most tasks.
    """
    if _sessions:
        for session in _at_rest():
            if session.is_touched:
                session.tidy(is_enough=not _wants_fresh_sessions(processor_class))


def tidy_own_connections(processor_class: str = "") -> None:
    """Do the same with the sessions of the calling thread alone, while others may be busy."""
    for session in _own():
        if session.is_touched:
            session.tidy(is_enough=not _wants_fresh_sessions(processor_class))


def close_own_ended_connections() -> None:
    """Close connections of the calling thread that have ended, or are too old."""
    for session in _own():
        session.close_if_ended()


def close_ended_connections() -> None:
    """Close connections that the server or a task has ended, and those that are too old.

    Costs no round trip when there is none.
    """
    if _sessions:
        for session in _at_rest():
            session.close_if_ended()


def close_broken_connections() -> None:
    """Close connections that did not survive the idle time, as after a database restart."""
    for session in _at_rest():
        session.close_unless_usable()


@contextlib.contextmanager
def refusing_other_threads(alias: str, processor_class: str) -> Iterator[None]:
    """Raise AtomicityLost in every other thread that a task lets use the tasks' database.

    What they do there would be committed whatever becomes of the task's transaction. Threads that
    were busy before are somebody else's.
    """
    _atomic.append(_AtomicAttempt(alias, processor_class))
    try:
        yield
    finally:
        _atomic.clear()


class Session:
    """What a task has done with one of Django's connections, and what is due after it."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.thread = threading.current_thread()
        self._connection = weakref.ref(connection)
        self._watchdog = Watchdog(weakref.proxy(connection), _PING_SECONDS)
        weakref.finalize(connection, self._watchdog.close).atexit = False
        self._is_pooled: bool | None = None
        self.begin()

    def begin(self) -> None:
        """Take note of a session that has just been made."""
        connection = self._django_s
        self.is_touched = True
        self.must_end = False
        self._is_pooled = self._is_pooled or None  # What was a pooler stays one.
        self._socket = _poll_of(raw_connection(connection))
        self._is_debugging = connection.force_debug_cursor
        is_set_up_by_others = bool(foreign_receivers()) or not is_django_s_own(connection)
        self._can_be_renewed = connection.vendor == "postgresql" and not is_set_up_by_others
        self._must_not_stay = connection.vendor != "sqlite" and not self._can_be_renewed
        self._state = driver_state(raw_connection(connection)) if self._can_be_renewed else ()
        if is_set_up_by_others:
            self._wrappers = [each for each in connection.execute_wrappers if each is not _note]
        else:
            self._wrappers = _wrappers.get(connection.alias, [])

    def note_use(self) -> None:
        """Take note that the task is about to use the connection."""
        self.is_touched = True

    def note_hand_out(self) -> None:
        """Take note that the task has got hold of the driver's own connection."""
        self.is_touched = self.must_end = True
        _refuse_other_threads(self._django_s)

    def note_statement(self, sql: object, cursor: object) -> None:
        """Take note of a statement that is about to be run."""
        connection = self._django_s
        _refuse_other_threads(connection)
        if not self.must_end and outlasts_discard(connection, sql, cursor):
            self.must_end = True

    def note_failure(self) -> None:
        """Take note that it may be the session that is to blame for an error."""
        self.must_end = True

    def tidy(self, *, is_enough: bool) -> None:
        """Make the session like a fresh one if that is enough, else end it."""
        connection = self._django_s
        with self._borrowed():
            self._put_back(connection)
            if raw_connection(connection) is not None:
                is_sound = not (self.must_end or self._must_not_stay or connection.errors_occurred)
                if is_in_transaction(connection) or not (is_sound and is_enough):
                    _end(connection)
                elif self._can_be_renewed:
                    self._renew(connection)
                # Django asks before the next use, if the project wants it to.
                connection.health_check_done = False  # type: ignore[attr-defined]
            self.must_end = self.is_touched = False

    def close_if_ended(self) -> None:
        """Close the connection if it has ended or is older than CONN_MAX_AGE allows."""
        if self.is_touched:  # Its thread was still busy after the task.
            self.tidy(is_enough=True)
        connection = self._django_s
        raw = raw_connection(connection)
        if raw is None:
            return
        if _is_too_old(connection):
            with self._borrowed():
                _end(connection)
        elif getattr(raw, "closed", False) or (self._socket and self._socket.poll(0)):
            # A connection at rest has nothing to say but its end.
            self.close_unless_usable()

    def close_unless_usable(self) -> None:
        """Close the connection unless it answers."""
        connection = self._django_s
        if raw_connection(connection) is None:
            return
        with self._borrowed():
            # Behind a silent network the question alone would wait for ever.
            with self._watchdog.watching():
                is_usable = connection.is_usable()
            if not is_usable:
                _end(connection)
            self.is_touched = False

    @property
    def _django_s(self) -> BaseDatabaseWrapper:
        connection = self._connection()
        assert connection is not None, "it holds the only reference to this"
        return connection

    def _borrowed(self) -> contextlib.AbstractContextManager[None]:
        """Let this thread use the connection, also when it is that of another one at rest."""
        return _OWN if self.thread is threading.current_thread() else self._shared()

    @contextlib.contextmanager
    def _shared(self) -> Iterator[None]:
        connection = self._django_s
        connection.inc_thread_sharing()
        try:
            yield
        finally:
            connection.dec_thread_sharing()

    def _put_back(self, connection: BaseDatabaseWrapper) -> None:
        connection.queries_log.clear()
        connection.force_debug_cursor = self._is_debugging
        connection.execute_wrappers = [_note, *self._wrappers]

    def _renew(self, connection: BaseDatabaseWrapper) -> None:
        try:
            with self._watchdog.watching():
                if self._is_pooled is None:
                    self._is_pooled = is_pooled(connection)
                is_fresh = not self._is_pooled and make_fresh(connection)
            is_fresh = is_fresh and self._is_as_before(connection)
        except Exception:  # noqa: BLE001 - the driver's own: the server or the way to it has failed
            is_fresh = False
        if not is_fresh:
            _end(connection)

    def _is_as_before(self, connection: BaseDatabaseWrapper) -> bool:
        raw = raw_connection(connection)
        for messages in (getattr(raw, "notices", None), getattr(raw, "notifies", None)):
            if isinstance(messages, list):  # of psycopg 2
                messages.clear()
        return driver_state(raw) == self._state


class _AtomicAttempt:
    """An attempt whose transaction is one thread's on one database."""

    def __init__(self, alias: str, processor_class: str) -> None:
        self._alias = alias
        self._processor_class = processor_class
        self._thread = threading.current_thread()
        self._others = {
            thread
            for thread in threading.enumerate()
            if thread is not self._thread and not is_at_rest(thread)
        }

    def refuse(self, connection: BaseDatabaseWrapper) -> None:
        """Raise if the connection is used beside the transaction."""
        thread = threading.current_thread()
        if thread is self._thread or thread in self._others or connection.alias != self._alias:
            return
        raise AtomicityLost(self._processor_class, thread.name)


def _at_rest() -> list[Session]:
    """Return the sessions that nobody else uses just now, whichever thread they belong to."""
    here = threading.current_thread()
    # A copy: threads may open connections meanwhile.
    return [
        session
        for reference in list(_sessions.values())
        if (session := reference()) and (session.thread is here or is_at_rest(session.thread))
    ]


def _own() -> Iterator[Session]:
    for connection in connections.all(initialized_only=True):
        session: Session | None = vars(connection).get(SESSION)
        if session is not None and session.thread is threading.current_thread():
            yield session


def _wants_fresh_sessions(processor_class: str) -> bool:
    try:
        return bool(registry.get_processor_class_by_name(processor_class).FRESH_SESSION)
    except Exception:  # noqa: BLE001 - whatever such a class may be, it has not run
        return False


def _end(connection: BaseDatabaseWrapper) -> None:
    # In an atomic block close() only makes a note and leaves the rest to the block's end.
    connection.in_atomic_block = False
    connection.closed_in_transaction = False
    with contextlib.suppress(Error):  # It has ended already, then.
        connection.close()


def _is_too_old(connection: BaseDatabaseWrapper) -> bool:
    # To connect for every task, as 0 says of requests, would cost more than most tasks.
    max_age = connection.settings_dict["CONN_MAX_AGE"]
    return bool(max_age) and time.monotonic() >= (connection.close_at or 0)


def _poll_of(raw: Any) -> select.poll | None:
    if not hasattr(raw, "fileno"):
        return None
    readable = select.poll()
    readable.register(raw.fileno(), select.POLLIN)
    return readable


def _refuse_other_threads(connection: BaseDatabaseWrapper) -> None:
    for attempt in _atomic:
        attempt.refuse(connection)


# ----- what tasks do -----


def _watch(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    session: Session | None = vars(connection).get(SESSION)
    if session is None:
        session = Session(connection)
        setattr(connection, SESSION, session)
        key = id(session)
        _sessions[key] = weakref.ref(session, lambda _: _sessions.pop(key, None))
    else:
        session.begin()
    if _note not in connection.execute_wrappers:
        # First, because execute_wrapper() takes its own away by taking the last: a connection may
        # be opened inside of one.
        connection.execute_wrappers.insert(0, _note)


def _note(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    connection = context["connection"]
    session: Session = getattr(connection, SESSION)
    session.note_statement(sql, vars(context["cursor"])["cursor"])
    was_flagged = connection.errors_occurred
    try:
        return execute(sql, params, many, context)
    except _OWN_ERRORS:
        connection.errors_occurred = was_flagged  # Django flags a statement that makes no sense.
        raise
    except Error:
        session.note_failure()
        raise
