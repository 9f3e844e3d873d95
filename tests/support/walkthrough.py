"""Doing what a page of the documentation tells its reader to do, and comparing what it shows.

A page is read from top to bottom. What it tells the reader is in its code blocks:

* ``python``, whose first line is a comment with a path: write that file; ``, at the end`` after the
  path appends to it, ``, with the imports`` puts the lines below its last import;
* ``console``: run each line after ``$``; the lines below it are what it prints;
* ``pycon``: a session in ``manage.py shell``;
* ``text`` whose first line names the manager's terminal: what the manager has logged since; ``^C``
  in it is Ctrl-C.

In what is printed, ``...`` stands for anything. A comment ``.. checked by NAME`` calls a function
of the test.
"""

from __future__ import annotations

import doctest
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tests.settings import ROOT
from tests.support.helpers import wait_until

MANAGER_TERMINAL: Final = "# the manager's terminal"
_BLOCK: Final = re.compile(
    r"^( *)\.\. (?:code-block:: (?P<kind>\w+)|checked by (?P<check>\w+)) *\n"
    r"(?P<body>(?:(?:\1 +.*)?\n)*)",
    re.MULTILINE,
)
_SESSION: Final = """
import doctest, sys, django
django.setup()
test = doctest.DocTestParser().get_doctest(sys.stdin.read(), {}, "session", None, 0)
runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
sys.exit(runner.run(test).failed)
"""
# What a test must not do, or what would not return.
_NOT_RUN: Final = re.compile(
    r"(make|pkill|\. venv|python -m pip|python -m venv)\b"
    r"|python manage\.py (shell|runserver|createsuperuser)$"
)


class Step(NamedTuple):
    """One block of a page: its kind, its text, and the line at which it starts."""

    kind: str
    text: str
    line: int


def steps_of(page: Path) -> Iterator[Step]:
    """Yield the steps of a page in their order."""
    text = page.read_text().rstrip("\n") + "\n"
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        if found["check"]:
            yield Step("check", found["check"], line)
        else:
            yield Step(found["kind"], _dedented(found["body"]), line)


def commands_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console block with what it is said to print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command.strip(), printed


@dataclass
class Walkthrough:
    """A reader who does what the page says, in a directory of his own."""

    root: Path
    checks: Mapping[str, Callable[[Walkthrough], None]] = field(default_factory=dict)
    project: Path = field(init=False)
    manager: subprocess.Popen[bytes] | None = None
    _read: int = 0

    def __post_init__(self) -> None:
        self.project = self.root

    def follow(self, page: Path) -> None:
        """Do everything, and end the manager at the end; an AssertionError names the line."""
        try:
            for step in steps_of(page):
                try:
                    self._do(step)
                except AssertionError as error:
                    raise AssertionError(f"{page.name}, line {step.line}: {error}") from error
            self.stop_manager()
        finally:
            if self.manager is not None:
                self.manager.kill()
                self.manager.wait()

    def run_python(self, code: str, text: str = "") -> str:
        """Run code in the project as the reader's Python would; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-c", code],
            check=False,
            cwd=self.project,
            env=self._environment(),
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop_manager(self) -> None:
        """Press Ctrl-C in the manager's terminal; it ends cleanly."""
        if self.manager is not None:
            self.manager.send_signal(signal.SIGINT)
            code = self.manager.wait(60)
            self.manager = None
            assert code == 0, f"exit code {code}\n{self._log()}"

    def _do(self, step: Step) -> None:
        match step.kind:
            case "python":
                self._write(step.text)
            case "console":
                for command, printed in commands_of(step.text):
                    self._run(command, printed)
            case "pycon":
                self.run_python(_SESSION, step.text)
            case "text" if step.text.startswith(MANAGER_TERMINAL):
                self._expect_log(step.text.partition("\n")[2])
            case "check":
                self.checks[step.text](self)

    def _write(self, text: str) -> None:
        head, _, content = text.partition("\n")
        name, _, place = head.removeprefix("# ").partition(", ")
        assert re.match(r"# \S+\.py(,|$)", head), f"no file is named: {head}"
        path = self.project / name
        match place:
            case "":
                path.write_text(content.lstrip("\n"))
            case "at the end":
                path.write_text(f"{path.read_text()}\n{content}")
            case "with the imports":
                path.write_text(_with_imports(path.read_text(), content))
            case _:
                raise AssertionError(f"unknown place in {name}: {place}")

    def _run(self, command: str, printed: str) -> None:
        if _NOT_RUN.match(command):
            return
        if command.startswith("cd "):
            self.project = self.project / command.removeprefix("cd ")
        elif "start_partisan" in command:
            self._start_manager(command)
            self._expect_log(printed)
        else:
            self._run_to_its_end(command, printed)

    def _run_to_its_end(self, command: str, printed: str) -> None:
        done = subprocess.run(
            command,
            check=False,
            shell=True,
            cwd=self.project,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}"
        assert not printed.strip() or _is_like(printed, done.stdout), f"{command}\n{done.stdout}"

    def _start_manager(self, command: str) -> None:
        self.stop_manager()
        self._read = 0
        with (self.root / "manager.log").open("wb") as log:
            self.manager = subprocess.Popen(
                command.split(),
                cwd=self.project,
                env=self._environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _expect_log(self, printed: str) -> None:
        """Wait until the manager has logged these lines, in this order, since the last look."""
        for line in filter(None, map(str.strip, printed.splitlines())):
            if line == "^C":
                self.stop_manager()
                continue
            self._expect_line(re.compile(".*".join(map(re.escape, line.split("...")))))

    def _expect_line(self, form: re.Pattern[str]) -> None:
        match = wait_until(
            lambda: form.search(self._log(), self._read),
            message=lambda: f"{form.pattern}\n{self._log()}",
        )
        assert match is not None
        self._read = match.end()

    def _log(self) -> str:
        path = self.root / "manager.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _environment(self) -> dict[str, str]:
        settings = next(self.project.glob("*/settings.py"), None)
        named = {"DJANGO_SETTINGS_MODULE": f"{settings.parent.name}.settings"} if settings else {}
        return {
            **{key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"},
            **named,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "error",
        }


def _with_imports(text: str, imports: str) -> str:
    lines = text.splitlines()
    last = max(i for i, line in enumerate(lines) if line.startswith(("from ", "import ")))
    return "\n".join([*lines[: last + 1], imports.rstrip("\n"), *lines[last + 1 :], ""])


def _is_like(printed: str, shown: str) -> bool:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(printed, shown, flags)


def _dedented(body: str) -> str:
    lines = body.strip("\n").splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "".join(f"{line[margin:]}\n" for line in lines)
