"""Whose connections may be tidied after a task."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from django_partisan.worker.threads_at_rest import is_at_rest


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def test_the_calling_thread_is_at_rest() -> None:
    assert is_at_rest(threading.current_thread())


def test_a_thread_that_has_ended_is_at_rest() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    assert is_at_rest(thread)


def test_a_thread_of_an_executor_is_at_rest_as_soon_as_its_result_is_there(
    executor: ThreadPoolExecutor,
) -> None:
    for _ in range(200):
        thread = executor.submit(threading.current_thread).result()
        assert is_at_rest(thread)
    assert is_at_rest(asyncio.run(_asked(executor)))


async def _asked(executor: ThreadPoolExecutor) -> threading.Thread:
    return await asyncio.get_running_loop().run_in_executor(executor, threading.current_thread)


def test_a_thread_at_work_is_not_at_rest(executor: ThreadPoolExecutor) -> None:
    begun, end = threading.Event(), threading.Event()
    thread = executor.submit(threading.current_thread).result()
    executor.submit(_work, begun.set, end.wait)
    begun.wait()
    try:
        assert not is_at_rest(thread)
    finally:
        end.set()


def test_a_thread_of_its_own_is_not_at_rest_while_it_waits() -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert not is_at_rest(thread)
    finally:
        end.set()
        thread.join()


def _work(begin: Callable[[], object], wait: Callable[[], object]) -> None:
    begin()
    wait()
