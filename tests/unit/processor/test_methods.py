"""A decorated method is the method, and for each model that has it a processor.

No test here may touch the database: pytest-django raises when one does.
"""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from django.db import models

from django_partisan.exceptions import ProcessorClassNotFound
from django_partisan.models.object_keys import object_key, stored_pk
from django_partisan.payloads.masking import masked
from django_partisan.payloads.unique_part import unique_part
from django_partisan.processor import processor
from django_partisan.processor.methods import ProcessorMethod
from django_partisan.registry import registry
from tests.shop_app.models import (
    GiftOrder,
    Line,
    Order,
    Parcel,
    RushOrder,
    Sendable,
    Ticket,
)

SHOP = "tests.shop_app.models"


def stored(model: Callable[..., Any], **columns: Any) -> Any:
    """Return an object as if it had been read."""
    obj = model(**columns)
    obj._state.adding = False
    return obj


ORDER = stored(Order, pk=3)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing that a test registers outlive it."""
    for name in ("_by_stored_name", "_by_alias", "_by_bare_name", "late_names"):
        monkeypatch.setattr(registry, name, copy.copy(getattr(registry, name)))


def defined(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "shop.models", "processor": processor, "models": models}
    exec(code, names)
    return names


def test_each_model_that_has_the_method_has_a_processor_of_its_own() -> None:
    found = {name for name in registry.names() if name.startswith(SHOP)}
    sending = {f"{SHOP}.{name}.send" for name in ("Order", "RushOrder", "GiftOrder", "Parcel")}
    assert found == {
        *sending,
        *(f"{SHOP}.{name}.send" for name in ("Line", "Ticket")),
        *(
            f"{SHOP}.{name}.{method}"
            for name in ("Order", "RushOrder", "GiftOrder")
            for method in ("announce", "fetch", "index", "wait")
        ),
        *(f"{SHOP}.{name}.pay" for name in ("Order", "RushOrder")),
    }
    assert registry.get_processor_class_by_name(f"{SHOP}.Order.send") is Order.send.processor
    assert Order.send.processor is not RushOrder.send.processor
    assert ORDER.send.processor is Order.send.processor
    assert (Order.wait.processor.PRIORITY, Order.announce.processor.ATOMIC) == (3, True)


def test_what_models_load_is_no_latecomer() -> None:
    assert not [name for name in registry.late_names if name.startswith(SHOP)]


def test_it_has_the_manners_of_the_method() -> None:
    assert ORDER.send.__name__ == "send"
    assert ORDER.send.__doc__ == Order.send.__doc__ == "Note where it was sent."
    assert list(inspect.signature(ORDER.send).parameters) == ["address", "copies"]
    assert list(inspect.signature(Order.send).parameters) == ["self", "address", "copies"]
    of_class: Any = Order.wait
    assert ORDER.wait.short_description == of_class.short_description == "Wait for it"
    assert repr(Order.send) == f"<processor {SHOP}.Order.send>"
    assert repr(ORDER.send) == "<processor Order.send of <Order: Order object (3)>>"
    assert not hasattr(ORDER.send, "no_such_name")
    assert not hasattr(ORDER.send, "__wrapped__")


def test_bound_methods_are_equal_as_pythons_own_are() -> None:
    other = stored(Order, pk=3)
    assert ORDER.send == ORDER.send
    assert ORDER.send not in (other.send, ORDER.wait, 3)
    assert len({ORDER.send, ORDER.send, ORDER.wait}) == 2


def test_it_is_found_by_its_name_wherever_it_is_sent() -> None:
    for method in (Order.send, RushOrder.send, Sendable.send):
        assert pickle.loads(pickle.dumps(method)) is method
        assert copy.copy(method) is method
    bound = pickle.loads(pickle.dumps(ORDER.send))
    assert (bound.processor, bound.__self__.pk) == (Order.send.processor, 3)


def test_a_plain_call_is_one_and_finds_what_python_would() -> None:
    card: Any = stored(GiftOrder, pk=4).pay("4111")
    assert card == "a gift: paid with 4 digits"
    assert Order.pay(ORDER, "41") == ORDER.pay("41") == "paid with 2 digits"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (Order().send.delay, f"{SHOP}.Order.send got a shop_app.Order that is not st"),
        (Order(pk=3).send.run_now, "that is not stored; save"),
        (Parcel().send.delay, "shop_app.Parcel that is not stored"),
        (lambda: Order().send.options(priority=1).delay(), "that is not stored"),
        (lambda: Order().send.delay_many([()]), r"items\[0\]: .*that is not stored"),
        (stored(Ticket, code="x" * 300).send.delay, "whose primary key is too long"),
        (lambda: Ticket.send.processor("x" * 300), r"Ticket\.send: the primary key .* is too long"),
    ],
)
def test_an_object_that_no_worker_could_load_is_refused(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (Order.send.delay, "takes an object first, .*, got nothing"),
        (lambda: Order.send.delay(3), r"takes an object first, .*, got 3 \(int\)"),  # type: ignore[arg-type]
        (lambda: Order.send.delay_many([(ORDER,), (3,)]), r"items\[1\]: .* takes an object first"),
        (lambda: Order.send.delay_many([()]), r"items\[0\]: .* got nothing"),
        (lambda: Order.send.delay_many([3]), r"items\[0\]: delay_many\(\) of send takes"),  # type: ignore[list-item]
        (lambda: ORDER.send.delay_many(["x"]), r"items\[0\]: delay_many\(\) of send takes"),
        (lambda: RushOrder.send.delay_many([(ORDER,)]), r"items\[0\]: .*RushOrder.send takes"),
        (lambda: ORDER.send.delay("x", "y"), r"Order\.send\(self, /.*: too many positional"),
        (lambda: ORDER.send.delay(self=3), "unexpected keyword argument 'self'"),
        (lambda: ORDER.send.delay(priority=3), r"write Order\.send\.options\(priority=\.\.\.\)"),
        (ORDER.pay.delay, "missing a required argument: 'card'"),
        (lambda: Order.send.processor(ORDER), r"with an object, write Order\.send\.delay\("),
        (lambda: Order.send.processor(None), "as a number or as text, got None"),
        (Order.send.processor, "missing a required argument: 'self'"),
        (lambda: Order.pay.delay(stored(GiftOrder, pk=4), "x"), r"\(Order, RushOrder\), got <Gift"),
    ],
)
def test_what_it_does_not_take_is_refused(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        call()


def test_an_abstract_model_has_no_processor() -> None:
    with pytest.raises(AttributeError, match=f"{SHOP}.Sendable.send has no processor"):
        _ = Sendable.send.processor
    assert not hasattr(super(GiftOrder, stored(GiftOrder, pk=4)).pay, "processor")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("@processor\n  def f(): ...", r"shop\.models\.Basket\.f: it is a method without a self"),
        ("@processor\n  def f(*, self): ...", "it is a method without a self"),
        ("@processor\n  @staticmethod\n  def f(): ...", "Basket.f is no method of an object"),
        ("@processor\n  @classmethod\n  def f(cls): ...", "Basket.f is no method of an object"),
        ("@processor\n  async def f(self): yield", "Basket.f: it is an asynchronous generator"),
        ("@processor\n  def f(self): yield", "Basket.f: it is a generator"),
        ("@processor(priorty=3)\n  def f(self): ...", "Basket.f: there is no option priorty=; did"),
    ],
)
def test_a_method_that_cannot_be_one_is_refused_with_its_name(code: str, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        defined(f"class Basket:\n  {code}")


def test_a_method_of_what_is_no_model_is_refused_with_its_name() -> None:
    # Python before 3.12 wraps the error.
    with pytest.raises((TypeError, RuntimeError)) as caught:
        defined("class Basket:\n  @processor\n  def send(self): ...")
    error = caught.value.__cause__ or caught.value
    assert "@processor of shop.models.Basket.send: Basket is no model" in str(error)
    assert "shop.models.Basket.send" not in registry.names()


def test_a_wrong_value_is_refused_when_the_model_is_made() -> None:
    with pytest.raises(TypeError, match=r"@processor of shop.models.Wrong.send: priority takes a"):
        defined(
            "class Wrong(models.Model):\n"
            "  @processor(priority='x')\n  def send(self): ...\n"
            "  class Meta:\n    app_label = 'shop_app'\n"
        )


def test_only_what_is_decorated_can_be_found() -> None:
    for name in ("Order.undecorated", "Order.delete", "Order.save", "Sendable.send", "Order"):
        with pytest.raises(ProcessorClassNotFound):
            registry.get_processor_class_by_name(f"{SHOP}.{name}")


def test_the_object_is_an_argument_like_others() -> None:
    method = ProcessorMethod(Order.undecorated, {"SENSITIVE_PARAMS": ("path",)})
    method.register(Order, "secret")
    stored_arguments = {"args": [3, "4111"], "kwargs": {}}
    assert masked(f"{SHOP}.Order.secret", stored_arguments)["args"] == [3, "********"]
    assert unique_part(Order.pay.processor, [3, "4111"], {}) == {"self": 3}


def test_a_primary_key_is_stored_as_a_number_or_as_text() -> None:
    key = "0e6c1c4a-7d5f-4a0b-9a5e-0d1f2a3b4c5d"
    assert stored_pk(ORDER) == 3
    assert stored_pk(stored(Order, pk="3")) == 3
    assert stored_pk(stored(Parcel, pk=key)) == key
    assert stored_pk(stored(Parcel, pk=key.replace("-", "").upper())) == key
    assert stored_pk(stored(Ticket, code="ü 1")) == "ü 1"
    assert object_key(stored(RushOrder, pk="3")) == object_key(ORDER) == "shop_app.order:3"
    line: Any = stored_pk(stored(Line, order_id=3, number=4))
    assert Line._meta.pk.to_python(line) == [3, 4]
