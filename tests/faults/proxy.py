"""A TCP proxy before a server's Unix socket: it can fall silent, slow down, reset, and heal."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar

import psutil

T = TypeVar("T")

_AT_ONCE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: a close sends RST instead of FIN


class Link:
    """One connection through the proxy; a closed gate keeps what comes in its direction."""

    def __init__(self, streams: _Streams, gates: tuple[asyncio.Event, asyncio.Event]) -> None:
        self._streams = streams
        self.requests, self.answers = gates
        self.client_port: int = streams.client[1].get_extra_info("peername")[1]

    async def serve(self, delay: Callable[[], float]) -> None:
        """Carry data in both directions until one side ends."""
        (client, to_client), (server, to_server) = self._streams.client, self._streams.server
        await asyncio.gather(
            _pump(client, to_server, self.requests, delay),
            _pump(server, to_client, self.answers, delay),
        )

    def reset(self) -> None:
        """End it as a crashed host would: the next packet is answered by RST."""
        for _, writer in (self._streams.client, self._streams.server):
            used = writer.get_extra_info("socket")
            if used.family == socket.AF_INET and not writer.is_closing():
                used.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            writer.transport.abort()
        self.requests.set()
        self.answers.set()


class Proxy:
    """Listens on a port of 127.0.0.1 and carries every connection to a Unix socket.

    A silent proxy does not close anything: connections stay established, and the kernel goes on to
    acknowledge what arrives. That is what a lost route or a hung host behind a load balancer looks
    like to a client. What was kept back goes on its way when the proxy is healed.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.delay_seconds = 0.0
        self._is_refusing = False
        self._links: set[Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._closed_gates = {"requests": False, "answers": False}
        self._server = self._call(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    # ----- faults -----

    def cut(self, pids: Collection[int] | None = None, *, only_answers: bool = False) -> int:
        """Fall silent, for the connections of some processes or for all and all to come.

        ``only_answers`` lets statements through, so that the server does what nobody hears of.
        Returns how many connections that were.
        """
        gates = ["answers"] if only_answers else ["requests", "answers"]
        return self._call(self._set_gates(gates, self._ports(pids), is_open=False))

    def heal(self) -> None:
        """Carry everything again, what was kept back first."""
        self.delay_seconds, self._is_refusing = 0.0, False
        self._call(self._set_gates(["requests", "answers"], None, is_open=True))

    def reset(self, pids: Collection[int] | None = None) -> int:
        """Reset the connections of some processes, or all; return how many."""
        return self._call(self._reset(self._ports(pids)))

    def refuse(self) -> None:
        """Reset every connection, and each new one at once, until healed."""
        self._is_refusing = True
        self.reset()

    def close(self) -> None:
        """Close everything."""
        self.reset()
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # ----- in the proxy's thread -----

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_unix_connection(str(self.target))
        except OSError:
            writer.transport.abort()
            return
        link = Link(
            _Streams((reader, writer), server), (self._gate("requests"), self._gate("answers"))
        )
        self._links.add(link)
        if self._is_refusing:
            link.reset()
        try:
            await link.serve(lambda: self.delay_seconds)
        finally:
            self._links.discard(link)
            link.reset()

    def _gate(self, name: str) -> asyncio.Event:
        gate = asyncio.Event()
        if not self._closed_gates[name]:
            gate.set()
        return gate

    async def _set_gates(self, names: list[str], ports: set[int] | None, *, is_open: bool) -> int:
        links = self._chosen(ports)
        for name in names:
            if ports is None:
                self._closed_gates[name] = not is_open
            for link in links:
                gate: asyncio.Event = getattr(link, name)
                gate.set() if is_open else gate.clear()
        return len(links)

    async def _reset(self, ports: set[int] | None) -> int:
        links = self._chosen(ports)
        for link in links:
            link.reset()
        return len(links)

    async def _stop(self) -> None:
        self._server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await task

    def _chosen(self, ports: set[int] | None) -> list[Link]:
        return [link for link in self._links if ports is None or link.client_port in ports]

    # ----- in the caller's thread -----

    def _call(self, action: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(action, self._loop)
        return future.result(10)

    def _ports(self, pids: Collection[int] | None) -> set[int] | None:
        """Return the local ports by which these processes are connected to the proxy."""
        if pids is None:
            return None
        used = [each for pid in pids for each in psutil.Process(pid).net_connections("tcp4")]
        used = [each for each in used if each.status == psutil.CONN_ESTABLISHED]
        return {each.laddr.port for each in used if each.raddr.port == self.port}


class _Streams:
    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.client, self.server = client, server


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    gate: asyncio.Event,
    delay: Callable[[], float],
) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            if delay():
                await asyncio.sleep(delay())
            await gate.wait()
            writer.write(data)
            await writer.drain()
    # A silent network does not tell that the other side has ended, either.
    await gate.wait()
    writer.close()
