import pytest

from django_partisan.manager.runtimes import CHUNK_SECONDS, Runtimes


def test_a_processor_is_unknown_until_its_first_task_has_ended() -> None:
    assert Runtimes().seconds("shop.Mail") is None


def test_the_average_follows_the_durations_but_not_at_once() -> None:
    runtimes = Runtimes()
    runtimes.learn("shop.Mail", 0.001)
    runtimes.learn("shop.Mail", 0.011)
    assert runtimes.seconds("shop.Mail") == pytest.approx(0.003)


def test_what_is_too_slow_for_a_chunk_is_handed_out_alone() -> None:
    runtimes = Runtimes()
    runtimes.learn("shop.Report", CHUNK_SECONDS * 2)
    assert runtimes.seconds("shop.Report") is None


def test_processors_do_not_disturb_each_other() -> None:
    runtimes = Runtimes()
    runtimes.learn("shop.Report", 5.0)
    runtimes.learn("shop.Mail", 0.001)
    assert runtimes.seconds("shop.Mail") == 0.001


def test_the_mean_is_of_all_tasks_and_follows_slowly() -> None:
    runtimes = Runtimes()
    assert runtimes.mean is None
    for _ in range(100):
        runtimes.learn("shop.Mail", 0.001)
    runtimes.learn("shop.Report", 1.0)
    assert runtimes.mean == pytest.approx(0.001 + 0.02 * 0.999)
