"""The arguments of a processor with a `Params` model: checked, stored as JSON, and read again."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, to_json

from django_partisan.config.wording import counted, listed, shown
from django_partisan.exceptions import InvalidParams, UnreadableParams
from django_partisan.payloads.dumped import dumped, is_alike
from django_partisan.payloads.encoding import FIRST_VERSION, fault_in
from django_partisan.payloads.masking import secret_names
from django_partisan.payloads.refusals import Fault, faults_of, takes, unknown_names
from django_partisan.payloads.secret_fields import names_of

_Faults = list[Fault]


class Checked(NamedTuple):
    """The arguments of a call that are fine: as they are stored, and as ``run()`` gets them."""

    data: dict[str, Any]
    params: BaseModel


def checked_params(processor_class: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Checked:
    """Return the arguments of a call, validated by ``Params``; raise InvalidParams.

    Positional ones are the fields in their order; or there is one, an instance of ``Params``. What
    will be stored has been read again, so that a worker can read it as well.
    """
    model = _model_of(processor_class)
    found: BaseModel | Checked | _Faults
    if len(args) == 1 and not kwargs and isinstance(args[0], model):
        found = args[0]
    else:
        found = _of_call(processor_class, model, args, kwargs)
    if isinstance(found, BaseModel):
        found = _there_and_back(processor_class, found)
    if isinstance(found, Checked):
        return found
    # Raised here, it has no context, in which the values would be.
    raise InvalidParams(processor_class.__qualname__, found, takes(model))


def read_params(processor_class: Any, stored: Mapping[str, Any]) -> BaseModel:
    """Return stored arguments as ``Params``, upgraded where need be; raise UnreadableParams."""
    version = stored.get("version", FIRST_VERSION)
    data = _upgraded(processor_class, version, _by_key(stored))
    found = _validated(processor_class, _placed(_model_of(processor_class), data), is_json=True)
    if isinstance(found, BaseModel):
        return found
    told = "; ".join(": ".join(filter(None, fault)) for fault in found)
    raise UnreadableParams(
        processor_class.__qualname__,
        version,
        f"its Params refuses them ({told}). Deploy code that takes them; with another "
        "SCHEMA_VERSION, upgrade_params() can change them",
    )


def _model_of(processor_class: Any) -> type[BaseModel]:
    model: type[BaseModel] = processor_class._params_model  # noqa: SLF001
    return model


def _of_call(
    processor_class: Any, model: type[BaseModel], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> BaseModel | _Faults:
    fields = list(model.model_fields.items())
    if len(args) > len(fields):
        most = counted(len(fields), "positional argument")
        return [("", f"it takes at most {most}, one for each field, got {len(args)}")]
    given = dict(kwargs)
    for place, ((name, field), value) in enumerate(zip(fields, args, strict=False), start=1):
        if not given.keys().isdisjoint(names_of(name, field)):
            return [(name, f"is given twice, by name and as positional argument {place}")]
        given[_key_of(name, field)] = value
    faults = unknown_names(given, model) if _refuses_unknown(model) else []
    return faults or _validated(processor_class, given, is_json=False)


def _key_of(name: str, field: FieldInfo) -> str:
    """Return a name under which a model takes a field in any case."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return next((each for each in choices if isinstance(each, str)), name)


def _refuses_unknown(model: type[BaseModel]) -> bool:
    """Say whether nothing would notice a mistyped name, which a call of a function refuses."""
    validators = model.__pydantic_decorators__.model_validators.values()
    sees_all = any(each.info.mode != "after" for each in validators)
    return model.model_config.get("extra") is None and not sees_all


def _there_and_back(processor_class: Any, params: BaseModel) -> Checked | _Faults:
    """Return a model as it is stored, and as it will be read."""
    try:
        data = dumped(params)
    except (ValueError, TypeError) as error:  # PydanticSerializationError is a ValueError
        told = type(error).__name__ if secret_names(processor_class) else error
        return [("", f"they cannot be written as JSON: {told}")]
    if not isinstance(data, dict):
        return [("", f"as JSON they are no object, but of type {type(data).__name__}")]
    return _read_again(processor_class, params, data)


def _read_again(processor_class: Any, params: BaseModel, data: dict[str, Any]) -> Checked | _Faults:
    try:
        again = _validated(processor_class, data, is_json=True)
    except PydanticSerializationError:  # a text that is no Unicode
        return _unfit(data)
    if not isinstance(again, BaseModel):
        return [(name, f"{text} - when it is read from its own JSON") for name, text in again]
    if again != params and not (is_alike(params, again) and dumped(again) == data):
        return _unfit(data) or [("", _difference(params, again))]
    return Checked(data, again)


def _unfit(data: dict[str, Any]) -> _Faults:
    """Return a fault for each field that has what JSON cannot keep."""
    faults = [(name, fault_in(value)) for name, value in data.items()]
    return [fault for fault in faults if fault[1]]


def _difference(before: BaseModel, after: BaseModel) -> str:
    fields = type(after).model_fields
    names = [name for name in fields if getattr(before, name, None) != getattr(after, name, None)]
    return (
        f"{listed(names) or 'a field'} comes back from JSON as another value; see to its "
        "serializer and its validator"
    )


def _validated(
    processor_class: Any, values: Mapping[str, Any], *, is_json: bool
) -> BaseModel | _Faults:
    model = _model_of(processor_class)
    try:
        if is_json:
            return model.model_validate_json(to_json(values, inf_nan_mode="constants"))
        return model.model_validate(values)
    except ValidationError as error:
        return faults_of(error, model, secret_names(processor_class), values)


def _by_key(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored arguments by name, and what is stored by place under that."""
    return {
        **{str(place): value for place, value in enumerate(stored.get("args", ()))},
        **stored.get("kwargs", {}),
    }


def _placed(model: type[BaseModel], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments with the names of fields for what has only a place."""
    fields = list(model.model_fields.items())
    known = {each for name, field in fields for each in names_of(name, field)}
    return {
        _key_of(*fields[int(key)])
        if key.isdecimal() and key not in known and int(key) < len(fields)
        else key: value
        for key, value in data.items()
    }


def _upgraded(processor_class: Any, version: Any, data: dict[str, Any]) -> dict[str, Any]:
    """Return arguments as the present version of a processor takes them."""
    name, present = processor_class.__qualname__, processor_class.SCHEMA_VERSION
    if isinstance(version, bool) or not isinstance(version, int) or version < FIRST_VERSION:
        raise UnreadableParams(name, version, "that is no version; correct the row")
    if version == present:
        return data
    if version > present:
        reason = f"this code knows SCHEMA_VERSION {present}. Deploy the code that stored them"
        raise UnreadableParams(name, version, reason)
    try:
        upgraded = processor_class.upgrade_params(version, copy.deepcopy(data))
    except UnreadableParams:
        raise
    except Exception as error:
        what = f"upgrade_params({version}, ...) raised {type(error).__name__}. Correct it"
        raise UnreadableParams(name, version, what) from error
    if not isinstance(upgraded, dict):
        what = f"upgrade_params({version}, ...) returned {shown(upgraded)}. Have it return a dict"
        raise UnreadableParams(name, version, what)
    return upgraded
