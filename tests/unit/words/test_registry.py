"""Names and the processor classes they stand for."""

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import django_partisan.registry as package
from django_partisan.exceptions import ProcessorClassAlreadyRegistered, ProcessorClassNotFound
from django_partisan.registry import Registry, autodiscover
from django_partisan.registry.registry import registry as the_object
from django_partisan.settings import validate_settings


def processor(name: str = "Send", module: str = "shop.tasks", **attributes: Any) -> type[Any]:
    return type(name, (), {"__module__": module, "__qualname__": name, **attributes})


@pytest.fixture
def names() -> Registry:
    return Registry()


def test_a_class_is_found_by_its_stored_name_and_its_unique_bare_name(names: Registry) -> None:
    send = names.register(processor())
    assert names.get_processor_class_by_name("shop.tasks.Send") is send
    assert names.get_processor_class_by_name("Send") is send
    assert names.is_processor_registered("Send")


def test_registering_returns_the_class_so_that_it_serves_as_a_decorator(names: Registry) -> None:
    @names.register
    class Send:
        pass

    assert names.get_processor_class_by_name(names.stored_name(Send)) is Send


def test_the_same_class_twice_is_an_error(names: Registry) -> None:
    send = names.register(processor())
    with pytest.raises(ProcessorClassAlreadyRegistered, match=r"shop\.tasks\.Send already"):
        names.register(send)


def test_another_class_under_a_taken_stored_name_is_an_error(names: Registry) -> None:
    names.register(processor())
    with pytest.raises(ProcessorClassAlreadyRegistered):
        names.register(processor())


def test_two_apps_may_have_a_class_of_the_same_name(names: Registry) -> None:
    first, second = processor(), processor(module="blog.tasks")
    names.register(first)
    names.register(second)
    assert names.get_processor_class_by_name("shop.tasks.Send") is first
    assert names.get_processor_class_by_name("blog.tasks.Send") is second
    assert names.names() == ["blog.tasks.Send", "shop.tasks.Send"]


def test_an_ambiguous_bare_name_is_not_found_and_its_candidates_are_named(names: Registry) -> None:
    names.register(processor())
    names.register(processor(module="blog.tasks"))
    assert not names.is_processor_registered("Send")
    with pytest.raises(ProcessorClassNotFound, match=r"blog\.tasks\.Send or shop\.tasks\.Send"):
        names.get_processor_class_by_name("Send")


def test_an_alias_decides_whom_an_ambiguous_bare_name_means(names: Registry) -> None:
    names.register(processor())
    second = names.register(processor(module="blog.tasks", ALIASES=("Send",)))
    assert names.get_processor_class_by_name("Send") is second


def test_a_name_with_a_module_never_falls_back_to_a_bare_one(names: Registry) -> None:
    names.register(processor())
    with pytest.raises(ProcessorClassNotFound):
        names.get_processor_class_by_name("old.place.Send")


@pytest.mark.parametrize("alias", ["OldSend", "old.place.OldSend"])
def test_an_alias_stands_for_the_renamed_class(names: Registry, alias: str) -> None:
    send = names.register(processor(ALIASES=[alias]))
    assert names.get_processor_class_by_name(alias) is send
    assert names.names() == ["shop.tasks.Send"]


def test_one_alias_for_two_classes_is_an_error_that_changes_nothing(names: Registry) -> None:
    names.register(processor(ALIASES=["Old"]))
    with pytest.raises(ProcessorClassAlreadyRegistered, match="Old"):
        names.register(processor("Other", ALIASES=["New", "Old"]))
    assert names.names() == ["shop.tasks.Send"]
    assert not names.is_processor_registered("New")


def test_an_alias_that_is_another_classes_stored_name_is_an_error_in_either_order(
    names: Registry,
) -> None:
    aliased = processor("Other", ALIASES=["shop.tasks.Send"])
    names.register(processor())
    with pytest.raises(ProcessorClassAlreadyRegistered):
        names.register(aliased)
    turned = Registry()
    turned.register(aliased)
    with pytest.raises(ProcessorClassAlreadyRegistered):
        turned.register(processor())


def test_a_subclass_does_not_inherit_the_aliases(names: Registry) -> None:
    parent = names.register(processor(ALIASES=["Old"]))
    names.register(type("Child", (parent,), {"__module__": "shop.tasks", "__qualname__": "Child"}))
    assert names.get_processor_class_by_name("Old") is parent


def test_an_alias_that_is_the_class_itself_or_repeated_does_no_harm(names: Registry) -> None:
    send = names.register(processor(ALIASES=["shop.tasks.Send", "Old", "Old"]))
    assert names.get_processor_class_by_name("Old") is send


def test_aliases_that_are_one_string_are_refused(names: Registry) -> None:
    with pytest.raises(TypeError, match=r"Send\.ALIASES must be a tuple"):
        names.register(processor(ALIASES="Old"))


def test_an_unknown_name_gets_a_suggestion_when_one_is_close(names: Registry) -> None:
    names.register(processor())
    with pytest.raises(ProcessorClassNotFound, match=r"Did you mean shop\.tasks\.Send\?"):
        names.get_processor_class_by_name("shop.task.Send")


def test_a_nested_class_is_stored_with_its_whole_path(names: Registry) -> None:
    class Inner:
        pass

    assert names.stored_name(Inner).endswith("<locals>.Inner")


def test_a_name_that_does_not_fit_the_column_is_refused(names: Registry) -> None:
    assert len(names.stored_name(processor("x" * 244))) == 255
    with pytest.raises(ValueError, match="256 characters"):
        names.register(processor("x" * 245))
    assert names.names() == []


def test_the_ways_of_importing_the_registry_lead_to_one_object() -> None:
    assert package.registry is the_object
    assert package.initialize_processors is package.autodiscover
    assert package.register.__module__ == "django_partisan.registry.registry"


@pytest.fixture
def installed_app(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str | None], str]]:
    """Return a function that writes partisan_tasks.py of an app and installs it."""
    name = "app_for_autodiscover"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(source: str | None) -> str:
        if source is not None:
            (tmp_path / name / "partisan_tasks.py").write_text(source)
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, name]
        return f"{name}.partisan_tasks"

    yield install
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def test_autodiscover_imports_partisan_tasks_of_every_app(
    installed_app: Callable[[str | None], str],
) -> None:
    module = installed_app("FOUND = True")
    autodiscover()
    assert isinstance(sys.modules[module], types.ModuleType)


def test_an_app_without_partisan_tasks_is_fine(installed_app: Callable[[str | None], str]) -> None:
    installed_app(None)
    autodiscover()


@pytest.mark.parametrize("source", ["import no_such_module_here", "1 / 0", "from os import nope"])
def test_an_error_inside_partisan_tasks_is_shown(
    installed_app: Callable[[str | None], str], source: str
) -> None:
    with pytest.raises((ImportError, ZeroDivisionError)):
        installed_app(source)  # installing runs ready(), which discovers


def test_what_is_registered_after_django_was_set_up_is_known_to_be_late(names: Registry) -> None:
    names.register(processor())
    with names.discovering():
        names.register(processor("Found"))
    names.register(processor("After"))
    assert names.late_names == {"shop.tasks.Send", "shop.tasks.After"}


def test_the_modules_that_the_setting_names_are_imported_instead(
    installed_app: Callable[[str | None], str], settings: Any
) -> None:
    settings.PARTISAN_MODULES = ["background", "tasks"]
    module = installed_app("raise AssertionError('nobody names it')")
    settings.PARTISAN_MODULES = ["background", "partisan_tasks"]
    with pytest.raises(AssertionError, match="nobody names it"):
        autodiscover()
    assert module not in sys.modules


def test_a_wrong_setting_leaves_the_modules_at_their_default(
    installed_app: Callable[[str | None], str], settings: Any
) -> None:
    settings.PARTISAN_MODULES = "tasks"
    assert installed_app("FOUND = True") in sys.modules


def test_a_class_of_a_module_that_a_discovered_one_imports_is_not_late() -> None:
    assert "tests.app.stopped_tasks.SleepLimited" in the_object.names()
    assert "tests.app.stopped_tasks.SleepLimited" not in the_object.late_names


@pytest.mark.parametrize("bad", ["tasks", [], ["my tasks"], ["tasks.py."], [1], {"tasks"}, None])
def test_modules_that_cannot_be_are_a_wrong_setting(settings: Any, bad: Any) -> None:
    settings.PARTISAN_MODULES = bad
    [error] = validate_settings()
    assert "PARTISAN_MODULES" in str(error)
