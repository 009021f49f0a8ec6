"""One way to declare and check constructor parameters, and one form of message.

A rule is a frozen dataclass that knows two things: whether it allows a value, and how to say what it allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, Protocol

import numpy as np

from vae_anomaly.errors import ParameterError


class Rule(Protocol):
    """What a parameter may be."""

    def allows(self, value: Any) -> bool:
        """Whether `value` is in the domain."""
        ...

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Number:
    """A finite number from `low` to `high`, both included unless `open_low` or `open_high`."""

    low: float = float("-inf")
    high: float = float("inf")
    open_low: bool = False
    open_high: bool = False
    integer: bool = False

    def allows(self, value: Any) -> bool:
        """Whether `value` is a number (never a bool) within the bounds."""
        if isinstance(value, bool) or not isinstance(value, Integral if self.integer else Real):
            return False
        try:
            number = float(value)
        except OverflowError:  # whole numbers have no end in Python
            return False
        above = number > self.low if self.open_low else number >= self.low
        below = number < self.high if self.open_high else number <= self.high
        return above and below  # NaN is neither above nor below

    def __str__(self) -> str:
        left, right = "(" if self.open_low else "[", ")" if self.open_high else "]"
        return f"{'an integer' if self.integer else 'a number'} in {left}{self.low:g}, {self.high:g}{right}"


@dataclass(frozen=True)
class OneOf:
    """One of a few strings, booleans or None."""

    options: tuple[str | bool | None, ...]

    def allows(self, value: Any) -> bool:
        """Whether `value` is one of the options."""
        return any(value is option or (isinstance(value, str) and value == option) for option in self.options)

    def __str__(self) -> str:
        return " or ".join(repr(option) for option in self.options)


@dataclass(frozen=True)
class Several:
    """A tuple or list with at least `at_least` items that all follow `item`."""

    item: Rule
    at_least: int = 1

    def allows(self, value: Any) -> bool:
        """Whether `value` is a sequence whose items all follow the rule."""
        return (
            isinstance(value, (tuple, list)) and len(value) >= self.at_least and all(self.item.allows(v) for v in value)
        )

    def __str__(self) -> str:
        return f"a tuple of {self.at_least} or more, each {self.item}"


@dataclass(frozen=True)
class Instance:
    """An instance of a type, described in words."""

    types: tuple[type, ...]
    described: str

    def allows(self, value: Any) -> bool:
        """Whether `value` is an instance of one of the types."""
        return isinstance(value, self.types)

    def __str__(self) -> str:
        return self.described


def check_params(owner: str, values: Mapping[str, Any], rules: Mapping[str, Iterable[Rule]]) -> None:
    """Raise a `ParameterError` for the first parameter that none of its rules allows.

    Parameters
    ----------
    owner : str
        The class that the parameters belong to, as the user knows it.
    values : mapping of str to object
        The parameters as they were given.
    rules : mapping of str to rules
        For each parameter, the rules of which one must allow it.

    Raises
    ------
    ParameterError
        Naming the parameter, its owner, what is allowed, and what was got.

    Examples
    --------
    >>> rules = {"contamination": (Number(0, 0.5), OneOf(("auto",)))}
    >>> check_params("VAEDetector", {"contamination": 0.9}, rules)
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.ParameterError: The 'contamination' parameter of VAEDetector must be a number in [0, 0.5] \
or 'auto'. Got 0.9 instead.
    """
    for name, allowed in rules.items():
        alternatives = tuple(allowed)
        if not any(rule.allows(values[name]) for rule in alternatives):
            domain = " or ".join(str(rule) for rule in alternatives)
            raise ParameterError(f"The {name!r} parameter of {owner} must be {domain}. Got {values[name]!r} instead.")


def to_json(value: Any) -> Any:
    """A constructor parameter as JSON; a RandomState, which has none, becomes None, and a function or class its name.

    Examples
    --------
    >>> to_json((np.int64(3), {"amount": "numeric"}, to_json))
    [3, {'amount': 'numeric'}, 'vae_anomaly._params:to_json']
    """
    if isinstance(value, np.random.RandomState):
        return None
    if isinstance(value, partial):
        given = ", ".join([*map(repr, value.args), *(f"{name}={given!r}" for name, given in value.keywords.items())])
        return f"{to_json(value.func)}({given})"
    if callable(value):
        named = value if hasattr(value, "__qualname__") else type(value)
        return f"{named.__module__}:{named.__qualname__}"
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.generic):
        return value.item()
    return [to_json(item) for item in value] if isinstance(value, (tuple, list)) else value
