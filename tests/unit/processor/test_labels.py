"""Names, creators and tags that cannot be are refused before anything is stored.

No test here may touch the database: pytest-django raises when one does.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import models
from django.test.utils import isolate_apps
from django.utils.functional import SimpleLazyObject

from django_partisan.config.labels import checked_name, checked_tags
from django_partisan.models.object_keys import object_key
from tests.support.processors import Plain


def delay(**options: Any) -> None:
    Plain().delay(**options)


def delay_many(**options: Any) -> None:
    Plain.delay_many([(1,)], **options)


def stored(obj: models.Model) -> models.Model:
    """Return an object as if it were stored."""
    obj._state.adding = False
    return obj


@pytest.mark.parametrize("enqueue", [delay, delay_many])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"verbose_name": 5}, TypeError, r"verbose_name takes text, got 5 .*; give it as str"),
        ({"verbose_name": b"x"}, TypeError, "verbose_name takes text"),
        ({"verbose_name": "x" * 256}, ValueError, "has 256 characters, more than 255; shorten it"),
        ({"verbose_name": "two\nlines"}, ValueError, "verbose_name has a control .* one line"),
        ({"verbose_name": "\0"}, ValueError, "verbose_name has a control character"),
        ({"verbose_name": "\ud800"}, ValueError, "verbose_name has a control character"),
        (
            {"creator": "ada"},
            TypeError,
            "creator got 'ada' .*, which is no object of a model; give",
        ),
        ({"creator": 7}, TypeError, "creator got 7 .*, which is no object of a model"),
        ({"creator": User}, TypeError, "creator got .*, which is no object of a model"),
        ({"creator": AnonymousUser()}, TypeError, "creator got .*Anonymous.*give one, or None"),
        ({"creator": User()}, ValueError, r"creator got a auth.User that is not stored; save\(\)"),
        ({"creator": User(pk=1)}, ValueError, "creator got a auth.User that is not stored"),
        ({"tags": "mail"}, TypeError, r"tags takes a tuple or a list of texts, as \('mail',\)"),
        ({"tags": None}, TypeError, "tags takes a tuple or a list"),
        ({"tags": {"a"}}, TypeError, "tags takes a tuple or a list"),
        ({"tags": ["a", 5]}, TypeError, "tags takes texts, got 5 .* among them"),
        ({"tags": [""]}, ValueError, "tags has '' .*, which can be no tag: one has 1 to 50 char"),
        ({"tags": ["x" * 51]}, ValueError, "which can be no tag"),
        ({"tags": ["a,b"]}, ValueError, "tags has 'a,b' .*, which can be no tag.*no commas"),
        ({"tags": ["a\tb"]}, ValueError, "which can be no tag"),
        ({"tags": ["\x00"]}, ValueError, "which can be no tag"),
        ({"tags": [str(n) for n in range(21)]}, ValueError, "has 21 of them, more than 20; leave"),
    ],
)
def test_what_cannot_be_is_refused_by_its_keyword(
    enqueue: Callable[..., None], options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        enqueue(**options)
    assert str(caught.value).startswith(next(iter(options)))


def test_the_longest_name_and_the_most_and_longest_tags_are_accepted() -> None:
    assert checked_name("ä" * 255) == "ä" * 255
    tags = tuple(f"{number:050}" for number in range(20))
    assert checked_tags(list(tags)) == tags


def test_no_name_and_an_empty_one_are_none() -> None:
    assert checked_name(None) is checked_name("") is None


def test_tags_keep_their_order_and_lose_their_duplicates() -> None:
    assert checked_tags(["b", "a", "b", " a", "A"] * 10) == ("b", "a", " a", "A")


@pytest.mark.parametrize("tag", ["a b", "naïve", "50 %", 'say "x"', "a\\b", "🦄", "x:y", "'"])
def test_a_tag_may_have_any_other_character(tag: str) -> None:
    assert checked_tags((tag,)) == (tag,)


def test_the_key_of_an_object_has_the_name_of_its_model_and_its_primary_key() -> None:
    assert object_key(stored(User(pk=7))) == "auth.user:7"
    assert object_key(stored(Group(pk=2**40))) == f"auth.group:{2**40}"
    assert object_key(SimpleLazyObject(lambda: stored(User(pk=7)))) == "auth.user:7"


@isolate_apps("tests.app")
def test_a_proxy_is_its_concrete_model_and_any_primary_key_has_its_text() -> None:
    class Visitor(User):
        class Meta:
            proxy = True
            app_label = "app"

    class Parcel(models.Model):  # noqa: DJ008
        number = models.UUIDField(primary_key=True)

        class Meta:
            app_label = "app"

    class Word(models.Model):  # noqa: DJ008
        text = models.CharField(primary_key=True, max_length=400)

        class Meta:
            app_label = "app"

    number = uuid.uuid4()
    assert object_key(stored(Visitor(pk=7))) == "auth.user:7"
    assert object_key(stored(Parcel(pk=number))) == f"app.parcel:{number}"
    assert object_key(stored(Word(pk="a:b"))) == "app.word:a:b"
    with pytest.raises(ValueError, match=r"got a app\.Word whose primary key is too long.*255 can"):
        object_key(stored(Word(pk="x" * 300)))
