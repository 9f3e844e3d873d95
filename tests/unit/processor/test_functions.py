"""A decorated function is the function, and a processor that is registered under its name.

No test here may touch the database: pytest-django raises when one does.
"""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from django_partisan.exceptions import (
    ProcessorClassAlreadyRegistered,
    ProcessorClassNotFound,
    UnknownQueue,
)
from django_partisan.payloads.masking import masked
from django_partisan.payloads.unique_part import unique_part
from django_partisan.processor import BaseTaskProcessor, processor
from django_partisan.processor.function_options import Rules, attributes
from django_partisan.registry import register, registry
from tests.app.functions import add, charge, made_here, touch, undecorated

HERE = __name__


@processor(queue_name="defualt")
def in_unknown_queue() -> None: ...


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing that a test registers outlive it."""
    for name in ("_by_stored_name", "_by_alias", "_by_bare_name", "late_names"):
        monkeypatch.setattr(registry, name, copy.copy(getattr(registry, name)))


def defined(code: str) -> dict[str, Any]:
    """Run the code of a module of its own, in which `processor` is imported."""
    names: dict[str, Any] = {
        "__name__": "shop.mail",
        "processor": processor,
        "functools": functools,
        "register": register,
    }
    exec(code, names)
    return names


def test_it_can_be_called_as_before() -> None:
    assert add(1, 2, times=3) == 9
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'first'"):
        add()  # type: ignore[call-arg]


def test_it_has_the_manners_of_the_function() -> None:
    assert (add.__name__, add.__qualname__, add.__module__) == ("add", "add", "tests.app.functions")
    assert add.__doc__ == "Add two numbers."
    assert inspect.signature(add) == inspect.signature(add.__wrapped__)
    assert inspect.isfunction(add.__wrapped__)
    assert repr(add) == "<processor tests.app.functions.add>"


def test_it_is_found_by_its_name_wherever_it_is_sent() -> None:
    assert pickle.loads(pickle.dumps(add)) is add
    assert copy.deepcopy({"f": add})["f"] is add


def test_in_a_class_of_the_project_it_is_bound_as_a_function_is() -> None:
    class Shelf:
        size = add

    assert Shelf.size is add
    bound: Any = Shelf()
    with pytest.raises(TypeError, match="unsupported operand"):
        bound.size(1)


def test_its_processor_is_registered_under_the_name_of_the_function() -> None:
    name = "tests.app.functions.touch"
    assert issubclass(touch.processor, BaseTaskProcessor)
    assert registry.get_processor_class_by_name(name) is touch.processor
    assert touch.processor("x").processor_name == name
    assert (touch.processor.PRIORITY, touch.processor.UNIQUE_FOR_PARAMS) == (3, False)
    assert add.processor.__doc__ == "Add two numbers."


def test_every_attribute_of_a_class_is_an_option_with_a_type() -> None:
    assert set(Rules.__annotations__) == set(attributes())


def test_run_now_calls_it_as_a_worker_would() -> None:
    assert add.run_now(1, times=2) == 2
    assert touch.processor.TIMEOUT_SECONDS is None
    with pytest.raises(RuntimeError, match="ann has no 4111"):
        charge.run_now("ann", {"number": "4111"})


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f: f.delay(), "missing a required argument: 'first'"),
        (lambda f: f.delay(1, 2, 3), "too many positional arguments"),
        (lambda f: f.delay(1, third=3), "unexpected keyword argument 'third'$"),
        (lambda f: f.delay(1, priority=3), r"write add\.options\(priority=\.\.\.\)\.delay\(\.\.\."),
        (lambda f: f.run_now(), "missing a required argument: 'first'"),
        (lambda f: f.options(priority=3).delay(), "missing a required argument: 'first'"),
        (lambda f: f.delay_many([(1,), ()]), r"items\[1\]: tests.app.functions.add\(.*missing"),
        (lambda f: f.delay_many(["1"]), r"items\[0\]: delay_many\(\) of add takes"),
        (lambda f: f.options(priority=True).delay(1), "priority takes a whole number"),
        (lambda f: f.options(countdown=5).delay(1), r"takes no countdown=; write execute_after="),
        (lambda f: f.options(queue="x").delay(1), r"takes no queue=; write QUEUE_NAME"),
        (lambda f: f.options(prioriti=5).delay_many([(1,)]), "prioriti"),
        (lambda f: f.delay(object()), "argument 1 of add: object objects are not JSON"),
    ],
)
def test_what_it_does_not_take_is_refused_and_nothing_is_stored(
    call: Callable[[Any], Any], said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        call(add)


def test_an_unknown_queue_is_refused_where_it_is_enqueued() -> None:
    with pytest.raises(UnknownQueue, match="did you mean 'default'"):
        in_unknown_queue.delay()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def f(): yield 1", "shop.mail.f: it is a generator"),
        ("async def f(): yield 1", "shop.mail.f: it is an asynchronous generator"),
        ("class F: ...", "shop.mail.F is a class: derive it from BaseTaskProcessor"),
        ("@processor\ndef f(): ...", "<processor shop.mail.f> is decorated already"),
        ("@functools.partial\ndef f(): ...", "is an object that can be called"),
        ("@staticmethod\ndef f(): ...", "shop.mail.f is no method of an object"),
    ],
)
def test_what_no_worker_could_call_is_refused_with_its_name(code: str, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        defined(f"@processor\n{code}")


def test_what_has_no_name_of_its_own_is_refused() -> None:
    with pytest.raises(TypeError, match=r"made_here.<locals>.local: it is a local function"):
        processor(made_here())
    with pytest.raises(TypeError, match="it is a lambda, which has no name"):
        processor(lambda: None)
    with pytest.raises(TypeError, match=r"write options by their names, @processor\(queue_name"):
        processor("default")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"builtins.print is an object that can be called"):
        processor(print)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("priorty=3", "there is no option priorty=; did you mean priority="),
        ("PRIORITY=3", "there is no option PRIORITY=; did you mean priority="),
        ("queue='x'", "did you mean queue_name="),
        ("retries=3", "did you mean retry_on_error_config="),
        ("timeout=3", "did you mean timeout_seconds="),
        ("whatever=3", "options are aliases, atomic, .* in lower case"),
        ("priority='high'", "priority takes a whole number, got 'high'"),
        ("timeout_seconds='1'", "timeout_seconds takes seconds"),
        ("timeout_seconds=-1", "timeout_seconds must be 0.001 seconds"),
        ("on_duplicate='drop'", "on_duplicate must be 'keep' or"),
        ("retry_on_error_config=3", "retry_on_error_config must be of type ErrorsHandleConfig"),
        ("unique_key=('colour',)", "unique_key names 'colour', which it does not take; it takes"),
        (
            "unique_for_params=False, unique_key=('x',)",
            "and unique_for_params = False that nothing",
        ),
        ("aliases='old'", "aliases must be a tuple of names"),
        ("schedules=['daily']", r"schedules\[0\] must be a Schedule"),
    ],
)
def test_a_wrong_option_is_refused_with_the_name_of_the_function(option: str, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"@processor of shop.mail.wrong: .*{said}"):
        defined(f"@processor({option})\ndef wrong(x): ...")
    assert "shop.mail.wrong" not in registry.names()


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(ProcessorClassAlreadyRegistered, match=r"functions\.add already"):
        defined("def add(): ...\nadd.__module__ = 'tests.app.functions'\nprocessor(add)")


def test_a_function_under_the_decorator_of_classes_is_told_of_this_one() -> None:
    with pytest.raises(TypeError, match="decorate the function with @processor of django_partisan"):
        defined("@register\ndef f(): ...")


def test_only_what_is_decorated_can_be_found() -> None:
    for name in (
        "tests.app.functions.undecorated",
        "tests.app.functions.made_here.<locals>.local",
        f"{undecorated.__name__}",
        "os.system",
    ):
        with pytest.raises(ProcessorClassNotFound, match="or a function with @processor"):
            registry.get_processor_class_by_name(name)


def test_its_parameters_are_the_names_of_secrets_and_of_what_is_unique() -> None:
    defined(
        "@processor(sensitive_params=('card.number', 'password'))\n"
        "def pay(user, card, *, password=''): ...\n"
    )
    stored = {"args": ["ann", {"number": "4111", "year": 30}], "kwargs": {"password": "x"}}
    shown = masked("shop.mail.pay", stored)
    assert shown["args"] == ["ann", {"number": "********", "year": 30}]
    assert shown["kwargs"] == {"password": "********"}
    assert unique_part(charge.processor, ["ann", {}], {}) == {"user": "ann"}
    assert unique_part(charge.processor, [], {"user": "ann", "card": {}}) == {"user": "ann"}


def test_a_decorator_below_it_keeps_the_names_of_the_arguments() -> None:
    names = defined(
        "def quietly(f):\n"
        "  @functools.wraps(f)\n"
        "  def inner(*args, **kwargs): return ['quietly', f(*args, **kwargs)]\n"
        "  return inner\n"
        "@processor(unique_key=('user',))\n"
        "@quietly\n"
        "def greet_quietly(user): return user\n"
    )
    greet = names["greet_quietly"]
    assert greet.run_now("ann") == greet("ann") == ["quietly", "ann"]
    assert unique_part(greet.processor, ["ann"], {}) == {"user": "ann"}
    with pytest.raises(TypeError, match="too many positional arguments"):
        greet.delay("ann", "bob")
