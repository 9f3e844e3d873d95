"""Typed arguments: what a call with a ``Params`` stores, what it refuses, what is read again."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pydantic
import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from django_partisan.exceptions import InvalidParams, PartisanException, UnreadableParams
from django_partisan.payloads.masking import secret_names
from django_partisan.payloads.secret_fields import secret_fields
from django_partisan.processor import BaseTaskProcessor, review
from django_partisan.schedules import Schedule

MIB = 2**20


class Color(enum.Enum):
    RED = "r"
    BLUE = 2


class Line(BaseModel):
    sku: str
    price: Decimal


@dataclass
class Place:
    lat: float
    since: date


class Rich(BaseTaskProcessor):
    """Takes a value of each kind that JSON does not know."""

    class Params(BaseModel):
        at: datetime
        key: UUID
        amount: Decimal
        color: Color
        line: Line
        lines: list[Line] = []
        day: date = date(2026, 1, 2)
        clock: time = time(3, 4)
        span: timedelta = timedelta(seconds=90)
        place: Place | None = None
        names: frozenset[str] = frozenset()
        by_day: dict[date, int] = {}
        data: bytes = b""
        either: Annotated[int | str, Field(union_mode="left_to_right")] = 1
        pair: tuple[int, str] = (1, "x")

    params: Params

    def run(self) -> Any:
        return self.params


AT = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
KEY = UUID(int=5)
RICH: dict[str, Any] = {
    "at": AT,
    "key": KEY,
    "amount": Decimal("1.10"),
    "color": Color.BLUE,
    "line": Line(sku="a", price=Decimal("0.1")),
    "lines": [Line(sku="b", price=Decimal(3))],
    "span": timedelta(days=1, microseconds=5),
    "place": Place(1.5, date(2026, 5, 6)),
    "names": {"b", "a", "c"},
    "by_day": {date(2026, 1, 1): 4},
    "data": b"abc",
    "either": "x",
    "pair": (2, "y"),
}


class Charge(BaseTaskProcessor):
    """Takes two fields, one of them with a default."""

    class Params(BaseModel):
        amount: int = Field(gt=0)
        currency: Literal["EUR", "USD"] = "EUR"

    params: Params

    def run(self) -> Any:
        return [self.params.amount, self.params.currency]


UNCHECKED = Charge.Params(amount=1)
UNCHECKED.amount = 0


def stored(processor: BaseTaskProcessor) -> Any:
    return json.loads(processor._encoded(MIB))


def refusal(processor: BaseTaskProcessor) -> str:
    with pytest.raises(InvalidParams) as caught:
        processor._encoded(MIB)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    return str(caught.value)


def read(cls: type[BaseTaskProcessor], kwargs: dict[str, Any], **more: Any) -> Any:
    processor = cls()
    processor.read_params({"args": [], "kwargs": kwargs, **more})
    return processor.params


def test_rich_values_make_their_way_through_json_and_back() -> None:
    assert Rich(**RICH).run_now() == Rich.Params(**RICH)


def test_what_is_stored_is_plain_json_by_the_names_of_the_fields() -> None:
    assert stored(Charge(7)) == {"args": [], "kwargs": {"amount": 7, "currency": "EUR"}}


@pytest.mark.parametrize(
    "made",
    [
        Charge(7, "USD"),
        Charge(7, currency="USD"),
        Charge(currency="USD", amount=7),
        Charge(Charge.Params(amount=7, currency="USD")),
        Charge("7", "USD"),
    ],
)
def test_arguments_are_given_by_name_by_place_or_as_an_instance(made: Charge) -> None:
    assert stored(made) == {"args": [], "kwargs": {"amount": 7, "currency": "USD"}}


def test_the_items_of_a_set_are_stored_in_one_order() -> None:
    names = [str(number) for number in range(50)]
    there, back = Rich(**{**RICH, "names": names}), Rich(**{**RICH, "names": names[::-1]})
    assert stored(there)["kwargs"]["names"] == stored(back)["kwargs"]["names"] == sorted(names)


def test_params_are_there_before_the_task_is_stored() -> None:
    assert Charge("7").params == Charge.Params(amount=7)


def test_a_processor_without_params_has_none() -> None:
    class Plain(BaseTaskProcessor):
        def run(self) -> None: ...

    assert not hasattr(Plain(1), "params")
    assert stored(Plain(1, a=2)) == {"args": [1], "kwargs": {"a": 2}}


def test_a_derived_class_can_do_without_params() -> None:
    class Free(Charge):
        Params = None  # type: ignore[assignment]

    assert stored(Free(1, x=2)) == {"args": [1], "kwargs": {"x": 2}}
    assert not hasattr(Free(1), "params")


def test_a_derived_class_inherits_params() -> None:
    class More(Charge):
        def run(self) -> Any:
            return self.params.amount + 1

    assert More(2).run_now() == 3


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Charge(0), ["amount: Input should be greater than 0, got 0 (int)"]),
        (Charge(), ["amount: is required", "Its Params takes (amount, currency=...)"]),
        (Charge(1, "GBP"), ["currency: Input should be 'EUR' or 'USD', got 'GBP' (str)"]),
        (Charge(1, curency="USD"), ["curency: unknown; did you mean 'currency'?"]),
        (Charge(1, "EUR", 3), ["takes at most 2 positional arguments, one for each field, got 3"]),
        (Charge(1, amount=2), ["amount: is given twice, by name and as positional argument 1"]),
        (Charge(0, "GBP"), ["amount: ", "; currency: "]),
        (
            Charge(UNCHECKED),
            ["amount: Input should be", "read from its own JSON"],
        ),
        (Rich(**{**RICH, "line": {"sku": "a", "price": "x"}}), ["line.price: ", "got 'x' (str)"]),
        (Rich(**{**RICH, "data": b"\xff"}), ["cannot be written as JSON"]),
    ],
)
def test_a_refusal_names_the_processor_the_field_and_what_is_expected(
    made: BaseTaskProcessor, words: list[str]
) -> None:
    said = refusal(made)
    assert said.startswith(f"{type(made).__qualname__} refuses its arguments: ")
    assert all(word in said for word in words), said


def test_a_refusal_is_what_other_refusals_are() -> None:
    with pytest.raises(InvalidParams, match="amount") as caught:
        Charge(0)._encoded(MIB)
    assert isinstance(caught.value, PartisanException)
    assert isinstance(caught.value, ValueError)
    assert caught.value.processor == "Charge"
    assert [field for field, _ in caught.value.faults] == ["amount"]


def test_what_json_cannot_hold_is_refused_as_ever() -> None:
    with pytest.raises(ValueError, match="NUL"):
        Rich(**{**RICH, "either": "a\0"})._encoded(MIB)
    with pytest.raises(ValueError, match="nan"):
        Rich(**{**RICH, "place": {"lat": float("nan"), "since": "2026-01-01"}})._encoded(MIB)
    with pytest.raises(ValueError, match="PARTISAN_MAX_ARGUMENTS_BYTES"):
        Rich(**RICH)._encoded(10)


def test_a_model_may_ask_for_unknown_names() -> None:
    class Open(BaseTaskProcessor):
        class Params(BaseModel):
            model_config = ConfigDict(extra="ignore")
            a: int

        def run(self) -> None: ...

    class Wide(Open):
        class Params(BaseModel):
            model_config = ConfigDict(extra="allow")
            a: int

    class Old(Open):
        class Params(BaseModel):
            a: int

            @model_validator(mode="before")
            @classmethod
            def _from_b(cls, data: Any) -> Any:
                return {"a": data["b"]} if "b" in data else data

    assert stored(Open(1, b=2))["kwargs"] == {"a": 1}
    assert stored(Wide(1, b=2))["kwargs"] == {"a": 1, "b": 2}
    assert stored(Old(b=2))["kwargs"] == {"a": 2}


def test_what_does_not_come_back_from_json_as_it_was_is_refused() -> None:
    class Growing(BaseTaskProcessor):
        class Params(BaseModel):
            cents: int

            @field_validator("cents")
            @classmethod
            def _in_cents(cls, value: int) -> int:
                return value * 100

        def run(self) -> None: ...

    assert "cents comes back from JSON as another value" in refusal(Growing(1))


@pytest.mark.parametrize("value", [AT, SecretStr("x"), Color.BLUE, {1: 2}, Place(1, AT.date())])
def test_what_would_arrive_as_something_else_is_refused(value: Any) -> None:
    class Loose(BaseTaskProcessor):
        class Params(BaseModel):
            anything: Any

        def run(self) -> None: ...

    assert "anything comes back from JSON as another value" in refusal(Loose(value))
    assert Loose((1, [2])).run_now() is None


def test_what_a_model_keeps_for_itself_does_not_count() -> None:
    class Private(BaseTaskProcessor):
        class Params(BaseModel):
            a: int
            _made: Any = pydantic.PrivateAttr(default_factory=object)

        def run(self) -> Any:
            return self.params.a

    assert Private(4).run_now() == 4


def test_an_alias_is_the_name_that_is_stored() -> None:
    class Aliased(BaseTaskProcessor):
        class Params(BaseModel):
            number: int = Field(alias="customerNumber")

        UNIQUE_KEY = ("customerNumber",)

        def run(self) -> None: ...

    assert stored(Aliased(customerNumber=4))["kwargs"] == {"customerNumber": 4}
    assert stored(Aliased(4))["kwargs"] == {"customerNumber": 4}
    assert Aliased(4).params.number == 4


def test_a_model_that_does_not_read_what_it_writes_is_refused() -> None:
    class OneWay(BaseTaskProcessor):
        class Params(BaseModel):
            number: int = Field(validation_alias=AliasChoices("no", "nr"))  # type: ignore[pydantic-alias]

        def run(self) -> None: ...

    assert "no: is required - when it is read from its own JSON" in refusal(OneWay(no=4))


def test_a_strict_model_reads_its_own_json() -> None:
    class Strict(BaseTaskProcessor):
        class Params(BaseModel):
            model_config = ConfigDict(strict=True)
            at: datetime

        def run(self) -> Any:
            return self.params.at

    assert Strict(AT).run_now() == AT
    assert "at: " in refusal(Strict("2026-01-01T00:00Z"))


def test_computed_fields_are_not_stored() -> None:
    class Computing(BaseTaskProcessor):
        class Params(BaseModel):
            model_config = ConfigDict(extra="forbid")
            a: int

            @pydantic.computed_field  # type: ignore[prop-decorator]
            @property
            def double(self) -> int:
                return 2 * self.a

        def run(self) -> Any:
            return self.params.double

    assert Computing(2).run_now() == 4


def test_defaults_are_stored_as_they_were_when_the_task_was() -> None:
    numbers = iter(range(10))

    class Counting(BaseTaskProcessor):
        class Params(BaseModel):
            number: int = Field(default_factory=lambda: next(numbers))

        def run(self) -> Any:
            return self.params.number

    assert stored(Counting())["kwargs"] == {"number": 0}
    assert Counting().run_now() == 1


class Second(Charge):
    """Has changed twice: from cents as text, and from a name."""

    SCHEMA_VERSION = 3

    @classmethod
    def upgrade_params(cls, version: int, data: dict[str, Any]) -> dict[str, Any]:
        if version < 2:
            data["amount"] = int(data.pop("cents")) // 100
        if version < 3 and "money" in data:
            data["currency"] = data.pop("money")
        return data


def test_the_version_is_stored_where_it_is_not_the_first() -> None:
    assert stored(Second(1))["version"] == 3
    assert "version" not in stored(Charge(1))


def test_what_was_stored_under_an_older_version_is_upgraded_before_it_is_validated() -> None:
    assert read(Second, {"cents": "700", "money": "USD"}) == Second.Params(amount=7, currency="USD")
    assert read(Second, {"amount": 7, "money": "USD"}, version=2).currency == "USD"
    assert read(Second, {"amount": 7}, version=3).amount == 7


def test_what_is_upgraded_is_a_copy() -> None:
    kept: dict[str, Any] = {"cents": "700", "money": "USD"}
    read(Second, kept)
    assert kept == {"cents": "700", "money": "USD"}


def test_arguments_from_before_params_are_fields_by_their_places() -> None:
    processor = Charge()
    processor.read_params({"args": [5], "kwargs": {"currency": "USD"}})
    assert processor.params == Charge.Params(amount=5, currency="USD")


def test_an_upgrade_finds_what_has_no_name_under_its_place() -> None:
    class ByPlace(Charge):
        SCHEMA_VERSION = 2

        @classmethod
        def upgrade_params(cls, version: int, data: dict[str, Any]) -> dict[str, Any]:
            return {"amount": data["1"], "currency": data["0"]}

    processor = ByPlace()
    processor.read_params({"args": ["USD", 5], "kwargs": {}})
    assert processor.params == ByPlace.Params(amount=5, currency="USD")


def test_an_upgrade_may_return_what_json_does_not_know() -> None:
    class Timed(BaseTaskProcessor):
        SCHEMA_VERSION = 2

        class Params(BaseModel):
            at: datetime

        @classmethod
        def upgrade_params(cls, version: int, data: dict[str, Any]) -> dict[str, Any]:
            return {"at": AT}

        def run(self) -> None: ...

    assert read(Timed, {}).at == AT


class NoUpgrade(Charge):
    SCHEMA_VERSION = 2


class Forgetful(Charge):
    SCHEMA_VERSION = 2

    @classmethod
    def upgrade_params(cls, version: int, data: dict[str, Any]) -> dict[str, Any]:
        data["amount"] = 1
        return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("cls", "kwargs", "version", "words"),
    [
        (Charge, {"amount": 7}, 2, "knows SCHEMA_VERSION 1. Deploy the code that stored them"),
        (NoUpgrade, {"amount": 7}, 1, "no upgrade_params(). Write that classmethod"),
        (Second, {}, 1, "upgrade_params(1, ...) raised KeyError. Correct it"),
        (Forgetful, {}, 1, "returned None (NoneType). Have it return a dict"),
        (Charge, {"amount": "x"}, 1, "amount: Input should be a valid integer"),
        (Charge, {"amount": 1}, "2", "no version"),
        (Charge, {"amount": 1}, True, "no version"),
        (Charge, {"amount": 1}, 0, "no version"),
    ],
)
def test_what_nobody_can_read_says_what_to_do(
    cls: type[BaseTaskProcessor], kwargs: dict[str, Any], version: Any, words: str
) -> None:
    with pytest.raises(UnreadableParams) as caught:
        read(cls, kwargs, version=version)
    said = str(caught.value)
    assert cls.__qualname__ in said
    assert words in said
    assert "retry the task" in said
    assert caught.value.version == version


def test_an_unknown_name_in_stored_arguments_is_no_obstacle() -> None:
    assert read(Charge, {"amount": 1, "former": 2}).amount == 1


class Login(BaseTaskProcessor):
    """Has secrets at several places."""

    SENSITIVE_PARAMS = ("pin",)

    class Card(BaseModel):
        number: SecretStr
        owner: str

    class Params(BaseModel):
        user: str
        password: SecretStr = Field(min_length=3)
        pin: int = 0
        cards: list[Login.Card] = []

        @model_validator(mode="after")
        def _refuse_nobody(self) -> Any:
            if self.user == "nobody":
                raise ValueError(f"{self.user} has {self.password.get_secret_value()}")
            return self

    def run(self) -> Any:
        return self.params.password.get_secret_value()


Login.Params.model_rebuild()


def test_a_secret_is_stored_as_it_is_and_read_as_a_secret() -> None:
    made = Login("alice", "hunter2", cards=[{"number": "4111", "owner": "alice"}])
    kept = stored(made)["kwargs"]
    assert kept["password"] == "hunter2"
    assert kept["cards"] == [{"number": "4111", "owner": "alice"}]
    assert made.run_now() == "hunter2"


@pytest.mark.parametrize(
    "made",
    [
        Login("nobody", "hunter2"),
        Login("alice", "hunter2", pin="hunter2"),
        Login("alice", "h2", pin=1),
        Login(["hunter2"], "hunter2"),
        Login(b"hunter2\xff", "hunter2"),
        Login("alice", pasword="hunter2"),
        Login("alice", {"x": "hunter2"}),
        Login("alice", "hunter2", cards=[{"number": "hunter2", "own": "x"}]),
        Login("alice", "hunter2", cards="hunter2"),
        Login("nobody", SecretStr("hunter2")),
        Login("alice", "hunter2", 1, [], "hunter2"),
    ],
)
def test_no_refusal_tells_a_secret(made: Login) -> None:
    said = refusal(made)
    assert "hunter2" not in said
    assert "h2" not in said


def test_a_refusal_shows_values_that_are_no_secrets() -> None:
    assert "user: Input should be a valid string, got 5 (int)" in refusal(Login(5, "hunter2"))


def test_no_unreadable_arguments_tell_a_secret() -> None:
    with pytest.raises(UnreadableParams) as caught:
        read(Login, {"user": "nobody", "password": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


class PydanticOne:
    """Looks as a model of pydantic 1 does."""

    __module__ = "pydantic.v1.main"


def class_with(**attributes: Any) -> type[BaseTaskProcessor]:
    return type("Odd", (BaseTaskProcessor,), {"run": lambda self: None, **attributes})


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"Params": object}, "must be a class derived from pydantic.BaseModel"),
        ({"Params": {"a": int}}, "must be a class derived from pydantic.BaseModel"),
        ({"Params": PydanticOne}, "is a model of pydantic 1"),
        ({"Params": pydantic.RootModel[int]}, "is a RootModel"),
        ({"Params": Line, "__init__": lambda self, a: None}, "has Params and an __init__"),
        ({"Params": Line, "params": 5}, "params is for the arguments"),
        ({"SCHEMA_VERSION": 0}, "SCHEMA_VERSION must be 1 or more, got 0"),
        ({"SCHEMA_VERSION": True}, "SCHEMA_VERSION takes a whole number, got True"),
        ({"SCHEMA_VERSION": "2"}, "SCHEMA_VERSION takes a whole number, got '2'"),
        ({"upgrade_params": lambda cls, version, data: data}, "must be a classmethod"),
        ({"Params": Line, "UNIQUE_KEY": ("sku", "prize")}, "'prize', which its Params does not"),
        ({"Params": Line, "SENSITIVE_PARAMS": ("0.number",)}, "names '0.number', a place"),
        ({"Params": Line, "UNIQUE_KEY": ("0",)}, "'0', which its Params does not"),
    ],
)
def test_a_class_that_cannot_be_is_refused_when_it_is_made(
    attributes: dict[str, Any], words: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        class_with(**attributes)
    assert "Odd" in str(caught.value)
    assert words in str(caught.value)


class Aliased(BaseTaskProcessor):
    """Has aliases, and calls some of them secret by other names than the stored ones."""

    SENSITIVE_PARAMS = ("number", "card.pin", "former.x")

    class Card(BaseModel):
        pin: str = Field(alias="thePin")

    class Params(BaseModel):
        number: str = Field(alias="theNumber")
        card: Aliased.Card | None = Field(None, alias="theCard")

    def run(self) -> None: ...


def test_what_is_secret_by_the_name_of_a_field_is_so_by_its_alias() -> None:
    names = secret_names(Aliased)
    assert {"theNumber", "theCard.thePin", "former.x"} <= set(names)
    kept = {"theNumber": "hunter2", "theCard": {"thePin": "h2"}}
    said = refusal(Aliased(**kept, more=1))
    assert "hunter2" not in said
    assert stored(Aliased(**kept))["kwargs"] == kept


def test_an_unknown_name_inside_of_a_model_is_refused_where_that_says_so() -> None:
    class Closed(BaseModel):
        model_config = ConfigDict(extra="forbid")
        sku: str

    made = class_with(Params=pydantic.create_model("Params", line=(Closed, ...)))
    assert "line.sku2: unknown, got 5 (int)" in refusal(made(line={"sku": "a", "sku2": 5}))


def findings(cls: type[BaseTaskProcessor]) -> list[tuple[str, str]]:
    return [(found.kind, found.message) for found in review._faults_of_params("shop.Odd", cls)]


def test_a_class_as_it_should_be_is_not_told_of() -> None:
    assert [findings(cls) for cls in (Charge, Second, Login, Rich)] == [[], [], [], []]


def test_what_was_set_after_the_class_was_made_is_told() -> None:
    made: Any = class_with()
    made.Params = Line
    assert findings(made) == [
        (
            review.WRONG_PARAMS,
            "shop.Odd.Params was set after the class was made, so nobody looks at it.",
        )
    ]
    made = class_with(Params=Line)
    made.SCHEMA_VERSION = "2"
    [(kind, message)] = findings(made)
    assert kind == review.WRONG_PARAMS
    assert "SCHEMA_VERSION takes a whole number" in message


def test_a_constructor_that_a_decorator_has_given_is_told() -> None:
    made = dataclass(class_with(Params=Line, __annotations__={"number": int}))
    [(kind, message)] = findings(made)
    assert kind == review.WRONG_PARAMS
    assert "has Params and an __init__" in message


def test_a_model_whose_annotations_name_nothing_is_told_and_all_of_it_is_secret() -> None:
    class Params(BaseModel):
        a: Nowhere  # type: ignore[name-defined]  # noqa: F821

    made = class_with(Params=Params, UNIQUE_FOR_PARAMS=False)
    [(kind, message)] = findings(made)
    assert kind == review.WRONG_PARAMS
    assert "annotations that name nothing" in message
    assert secret_names(made) == ("a",)


def test_a_version_that_nobody_can_come_to_is_told() -> None:
    [(kind, message)] = findings(NoUpgrade)
    assert kind == review.NO_UPGRADE
    assert "SCHEMA_VERSION 2 and no upgrade_params()" in message
    assert review.attribute_meant("VERSION", 2) == "SCHEMA_VERSION"


def test_a_model_under_another_name_is_told() -> None:
    assert review.attribute_meant("params", Line) == "Params"
    assert review.attribute_meant("Payload", Line) == "Params"
    assert review.attribute_meant("Payload", dict) is None
    assert review.attribute_meant("Line", Line) is None


class Tree(BaseModel):
    token: SecretStr
    children: list[Tree] = []


@pytest.mark.parametrize(
    ("annotation", "paths"),
    [
        (int, ()),
        (SecretStr | None, ("x",)),
        (list[pydantic.SecretBytes], ("x",)),
        (pydantic.Secret[int], ("x",)),
        (Annotated[tuple[Login.Card, int] | None, Field()], ("x.number",)),
        (dict[str, Login.Card], ("x",)),
        (dict[str, int], ()),
        (Tree, ("x.token", "x.children")),
    ],
)
def test_secret_fields_are_found_however_deep(annotation: Any, paths: tuple[str, ...]) -> None:
    model = pydantic.create_model("Model", x=(annotation, ...))
    assert secret_fields(model) == paths


def test_schedules_of_the_code_are_validated_by_check_and_hold_what_json_knows() -> None:
    schedules = [Schedule(manual=True, name=f"of {n}", kwargs={"amount": n}) for n in (0, 1)]
    made: Any = type("Made", (Charge,), {"SCHEDULES": schedules})
    [found] = review.review_schedules("shop.Made", made, {})
    assert found.kind == review.WRONG_SCHEDULE
    assert "SCHEDULES[0] has arguments that the processor does not take: " in found.message
    assert "amount: Input should be greater than 0, got 0 (int)" in found.message
    with pytest.raises(TypeError, match="Decimal objects are not JSON"):
        type("Odd", (Charge,), {"SCHEDULES": [Schedule(manual=True, args=(Decimal(1),))]})
