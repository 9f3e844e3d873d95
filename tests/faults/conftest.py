"""Fixtures of the tests of faults: those of the process tests, on a server of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.own_server import OwnServer
from tests.processes.conftest import StartManager, book, managers, start_manager
from tests.support.harness import Manager

__all__ = ["book", "managers", "start_manager"]

StartRemote = Callable[..., Manager]


@pytest.fixture(scope="session")
def own_server(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnServer]:
    """Yield a server that all tests share, one after another."""
    server = OwnServer(tmp_path_factory.mktemp("server"))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def own(own_server: OwnServer, django_db_blocker: Any) -> Iterator[OwnServer]:
    """Yield the server, running and empty, as this process's default database."""
    with django_db_blocker.unblock(), own_server.as_default():
        yield own_server


@pytest.fixture
def database(request: pytest.FixtureRequest) -> None:
    """Make the tables ready: those of the own server where a test asks for it."""
    name = "own" if "own" in request.fixturenames else "transactional_db"
    request.getfixturevalue(name)


@pytest.fixture
def start_remote(own: OwnServer, start_manager: StartManager) -> Iterator[StartRemote]:
    """Yield the function that starts a manager which is connected through the proxy.

    Whatever the test has done to server and proxy, both are well again when its managers stop.
    """

    def start(*, environment: dict[str, str] | None = None, **options: Any) -> Manager:
        return start_manager(environment={**own.variables, **(environment or {})}, **options)

    yield start
    own.start()
    own.proxy.heal()
