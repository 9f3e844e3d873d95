"""An error as a log record carries it: with type and stack, without secrets and our own frames."""

from __future__ import annotations

import linecache
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from traceback import walk_tb
from types import FrameType, FunctionType, TracebackType
from typing import Any, Final, NamedTuple

from django_partisan.execution.error_report import name_of, text_of
from django_partisan.payloads.encoding import clean_text
from django_partisan.payloads.masking import scrubbed

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
_PACKAGE: Final = f"{Path(__file__).parents[1]}/"
_MOST_FRAMES: Final = 100
"""Of a stack, the innermost ones are logged."""
_MOST_ERRORS: Final = 20
"""Of what an error was raised from, the nearest ones are logged."""


def exc_info_of(error: BaseException, secrets: Sequence[str] | None, limit: int) -> ExcInfo:
    """Return what ``exc_info=`` of a log call gets for an error.

    That is the error itself where no secret is known and everybody can print it; otherwise a
    stand-in, of a class that is derived from the error's where that can be, with the same name and
    masked text of at most ``limit`` bytes. Around secrets its frames have no local variables, which
    error trackers would send along.
    """
    is_open = secrets == [] and _is_plain(error, limit)
    shown = error if is_open else _StandIns(secrets, limit).of(error)
    frames = error.__traceback__ if is_open else shown.__traceback__
    return type(shown), shown, _traceback(_outside(frames))


def _is_plain(error: BaseException, limit: int) -> bool:
    """Say whether an error can be printed as it is: it raises nothing then, and is short."""
    errors = list(_related(error))
    return len(errors) < _MOST_ERRORS and all(_is_printable(each, limit) for each in errors)


def _related(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from or holds, each once, up to a bound."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _MOST_ERRORS:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            members = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
            causes = (each.__cause__, each.__context__, *members)
            waiting += [cause for cause in causes if cause is not None]


def _is_printable(error: BaseException, limit: int) -> bool:
    try:
        texts = [str(error), *getattr(error, "__notes__", [])]
        # What a logger or a tracker asks of the class, a metaclass may answer as it likes.
        is_clean = all(clean_text(text, limit) == text for text in texts)
        return is_clean and type(type(error)) is type
    except BaseException:  # A task's own error may raise anything.
        return False


class _StandIns:
    """Makes stand-ins of an error and of all that it was raised from."""

    def __init__(self, secrets: Sequence[str] | None, limit: int) -> None:
        self._secrets = secrets
        self._limit = limit
        self._made: dict[int, BaseException] = {}

    def of(self, error: BaseException) -> BaseException:
        """Return the stand-in of an error, the same one each time."""
        if id(error) not in self._made:
            self._made[id(error)] = stand_in = self._named(error)
            stand_in.__traceback__ = self._frames(error)
            if len(self._made) < _MOST_ERRORS:
                self._link(stand_in, error)
        return self._made[id(error)]

    def _named(self, error: BaseException) -> BaseException:
        text = clean_text(scrubbed(text_of(error), self._secrets), self._limit)
        if isinstance(error, BaseExceptionGroup) and len(self._made) < _MOST_ERRORS:
            return BaseExceptionGroup(text, [self.of(member) for member in error.exceptions])
        return _of_class(error, text)

    def _link(self, stand_in: BaseException, error: BaseException) -> None:
        for name in ("__cause__", "__context__"):
            if (other := getattr(error, name)) is not None:
                setattr(stand_in, name, self.of(other))
        stand_in.__suppress_context__ = error.__suppress_context__
        for note in _notes(error):
            stand_in.add_note(clean_text(scrubbed(note, self._secrets), self._limit))

    def _frames(self, error: BaseException) -> TracebackType | None:
        steps = _outside(error.__traceback__)
        if self._secrets != []:
            # Without the instruction nobody marks columns, which these frames do not have.
            steps = [_Step(self._without_locals(*step), -1, step.line) for step in steps]
        return _traceback(steps)

    def _without_locals(self, frame: FrameType, _: int, line: int) -> FrameType:
        """Return a frame that shows the same place in the code and knows nothing else.

        There is no other way to one than to run code that says it is from there.
        """
        code = frame.f_code
        source = linecache.getline(code.co_filename, line)
        is_open = scrubbed(source, self._secrets) == source
        shown = code.co_filename if is_open else f"<{code.co_filename}>"
        double = _leave_a_frame.__code__.replace(
            co_filename=shown,
            co_name=code.co_name,
            co_qualname=code.co_qualname,
            co_firstlineno=line,
        )
        names = {"_Stop": _Stop, "__name__": frame.f_globals.get("__name__")}
        try:
            FunctionType(double, names)()
        except _Stop as stop:
            return list(walk_tb(stop.__traceback__))[-1][0]
        raise AssertionError


class _Stop(Exception):  # noqa: N818 - no error
    """Leaves a frame behind."""


def _leave_a_frame() -> None:
    raise _Stop


def _of_class(error: BaseException, text: str) -> BaseException:
    """Return an error that says the text, of the class of another one as far as that allows it."""
    kind = type(error)
    names = {"__str__": lambda _: text, "__repr__": lambda _: text, "__module__": _module_of(error)}
    if type(kind) is type and not issubclass(kind, SyntaxError) and not _hears_of_heirs(kind):
        try:
            heir: Any = type(kind.__name__, (kind,), {**names, "__qualname__": kind.__qualname__})
            stand_in: BaseException = kind.__new__(heir, text)
            if type(stand_in) is heir:
                return stand_in
        except Exception:  # noqa: S110 - it cannot be derived from, or made like this
            pass
    stranger: type[Exception] = type(name_of(error).rpartition(".")[2], (Exception,), names)
    return stranger(text)


def _hears_of_heirs(kind: type[BaseException]) -> bool:
    return any("__init_subclass__" in vars(base) for base in kind.__mro__[:-1])


def _module_of(error: BaseException) -> str:
    return name_of(error).rpartition(".")[0].partition(".<")[0] or "builtins"


def _notes(error: BaseException) -> Iterable[str]:
    try:
        return [str(note) for note in error.__notes__]
    except BaseException:  # There are none, or they are no notes.
        return []


class _Step(NamedTuple):
    """One step of a stack."""

    frame: FrameType
    instruction: int
    line: int


def _outside(traceback: TracebackType | None) -> list[_Step]:
    """Return the innermost steps of a stack, without those inside this package."""
    steps = []
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            steps.append(_Step(traceback.tb_frame, traceback.tb_lasti, traceback.tb_lineno))
        traceback = traceback.tb_next
    return steps[-_MOST_FRAMES:]


def _traceback(steps: Sequence[_Step]) -> TracebackType | None:
    made: TracebackType | None = None
    for step in reversed(steps):
        made = TracebackType(made, *step)
    return made
