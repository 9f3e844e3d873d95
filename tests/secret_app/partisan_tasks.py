"""A task with secret arguments that tells them wherever it can."""

from __future__ import annotations

from typing import Any

from django_partisan.processor import BaseTaskProcessor, processor
from django_partisan.registry import registry


@registry.register
class Login(BaseTaskProcessor):
    """Fails with everything that it knows, at its first try in its constructor."""

    SENSITIVE_PARAMS = ("password", "card.number")
    UNIQUE_FOR_PARAMS = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if kwargs["user"] == "nobody":
            raise LookupError(f"nobody has {kwargs['password']}")

    def run(self) -> Any:
        if self.kwargs["user"] == "alice":
            return dict(self.kwargs)
        try:
            return {}[self.kwargs["password"]]
        except KeyError as error:
            raise ValueError(f"cannot log in with {self.kwargs}") from error


@registry.register
class Tell(BaseTaskProcessor):
    """Prints what it should keep to itself."""

    SENSITIVE_PARAMS = ("password",)
    UNIQUE_FOR_PARAMS = False

    def run(self) -> None:
        print(f"logging in with {self.kwargs['password']}, as ever")


@processor(sensitive_params=("password", "card.number"), unique_for_params=False)
def log_in(user: str, password: str, card: dict[str, Any]) -> None:
    """Fail with everything that it knows."""
    raise ValueError(f"{user} cannot log in with {password} and {card}")
