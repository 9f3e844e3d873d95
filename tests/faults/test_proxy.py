"""The proxy does to connections what it says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.proxy import Proxy
from tests.support.helpers import HANG_SECONDS


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """Yield a proxy before a server that answers every byte with the same byte."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "echo"))
        server.listen()
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
        proxy = Proxy(tmp_path / "echo")
        yield proxy
        proxy.close()
        server.shutdown(socket.SHUT_RDWR)


def test_it_carries_data_in_both_directions(proxy: Proxy) -> None:
    with _connection(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"


@pytest.mark.parametrize("only_answers", [False, True])
def test_a_cut_connection_stays_open_and_silent_until_it_is_healed(
    proxy: Proxy, only_answers: bool
) -> None:
    with _connection(proxy) as client:
        assert proxy.cut(only_answers=only_answers) == 1
        client.sendall(b"hello")
        _assert_silent(client)
        proxy.heal()
        assert client.recv(10) == b"hello"


def test_a_connection_made_while_it_is_cut_is_silent_too(proxy: Proxy) -> None:
    proxy.cut()
    with socket.create_connection(("127.0.0.1", proxy.port), HANG_SECONDS) as client:
        client.sendall(b"hello")
        _assert_silent(client)


def test_a_reset_connection_is_an_error_and_a_new_one_works(proxy: Proxy) -> None:
    with _connection(proxy) as client:
        assert proxy.reset() == 1
        with pytest.raises(ConnectionResetError):
            client.recv(10)
    with _connection(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"


def test_a_refusing_proxy_ends_every_connection(proxy: Proxy) -> None:
    with _connection(proxy) as client:
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            client.recv(10)
    with pytest.raises(ConnectionResetError):
        _ask(proxy)
    proxy.heal()
    with _connection(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"


def _connection(proxy: Proxy) -> socket.socket:
    """Connect, and return once the proxy carries data."""
    client = socket.create_connection(("127.0.0.1", proxy.port), HANG_SECONDS)
    client.sendall(b"?")
    assert client.recv(1) == b"?"
    return client


def _assert_silent(client: socket.socket) -> None:
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(10)
    client.settimeout(HANG_SECONDS)


def _ask(proxy: Proxy) -> bytes:
    # Either of the two may be told of the reset.
    with socket.create_connection(("127.0.0.1", proxy.port), HANG_SECONDS) as client:
        return client.recv(10)


def _serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(100):
            connection.sendall(data)
