"""What to compute: the parameters of `BehaviorFeatures`, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vae_anomaly._durations import Duration, microseconds
from vae_anomaly._params import Instance, Number, OneOf, Several, check_params
from vae_anomaly.errors import ParameterError

OWNER = "BehaviorFeatures"
OF_AMOUNTS = ("sum", "mean", "std", "max")
ALL = (
    *("count", *OF_AMOUNTS, "ratio", "z", "seconds_since_last", "distinct", "first", "share", "hour_share"),
    *("km_from_last", "km_per_hour", "hour", "weekday"),
)
_LEFT_OUT = ("sum", "std", "max", "z", "seconds_since_last")
SMALL = tuple(name for name in ALL if name not in _LEFT_OUT)
"""What a likelihood gains by; `BehaviorFeatures` says how that was found."""

_SETS = {"small": SMALL, "all": ALL}


_NAME = Instance((str,), "the name of a column")
_RULES = {
    "entities": (_NAME, Several(_NAME)),
    "time": (_NAME,),
    "amount": (_NAME, OneOf((None,))),
    "windows": (Several(Duration()),),
    "keys": (_NAME, Several(_NAME, at_least=0)),
    "coordinates": (Several(_NAME, at_least=2), OneOf((None,))),
    "features": (OneOf(tuple(_SETS)), Several(OneOf(ALL))),
    "delay": (Duration(), OneOf((None,))),
    "allowed_lateness": (Duration(), OneOf((None,))),
    "max_entities": (Number(1, integer=True), OneOf((None,))),
    "keep_columns": (OneOf((True, False)),),
}


@dataclass(frozen=True)
class Spec:
    """The parameters in the form that the computations need.

    Parameters
    ----------
    entities, keys : tuple of str
        Columns whose values have a past, and columns of what they do.
    time, amount, coordinates
        Columns, or None.
    windows : dict of str to int
        Names of the windows, and their lengths in microseconds.
    features : tuple of str
        Of `ALL`, in that order.
    delay, lateness : int
        In microseconds.
    max_entities : int or None
        Of each entity column.
    keep_columns : bool
        Whether the other columns are handed on.
    """

    entities: tuple[str, ...]
    time: str
    amount: str | None
    windows: Mapping[str, int]
    keys: tuple[str, ...]
    coordinates: tuple[str, str] | None
    features: tuple[str, ...]
    delay: int
    lateness: int
    max_entities: int | None
    keep_columns: bool

    @classmethod
    def of_params(cls, params: Mapping[str, Any]) -> Spec:
        """Check the parameters.

        Raises
        ------
        ParameterError
            Naming the parameter, what it may be, and what was got.
        """
        check_params(OWNER, params, _RULES)
        entities, keys = (_several(params[name]) for name in ("entities", "keys"))
        _check_roles(entities, keys, params)
        place = params["coordinates"]
        wanted = _SETS[params["features"]] if isinstance(params["features"], str) else params["features"]
        return cls(
            entities,
            params["time"],
            params["amount"],
            {window: microseconds(window) for window in params["windows"]},
            keys,
            None if place is None else (place[0], place[1]),
            tuple(name for name in ALL if name in wanted),
            microseconds(params["delay"]),
            microseconds(params["allowed_lateness"]),
            params["max_entities"],
            params["keep_columns"],
        )

    @property
    def coded(self) -> tuple[str, ...]:
        """The columns of names: entities, then keys that are no entities."""
        return self.entities + tuple(key for key in self.keys if key not in self.entities)

    @property
    def used(self) -> tuple[str, ...]:
        """All columns that features are made of."""
        amount = () if self.amount is None else (self.amount,)
        return (*self.coded, self.time, *amount, *(self.coordinates or ()))

    @property
    def replaced(self) -> tuple[str, ...]:
        """Columns that are not handed on: they name, or place, a row and features stand for them."""
        return (*self.entities, self.time, *(self.coordinates or ()))

    @property
    def longest(self) -> tuple[str, int]:
        """Name and length of the longest window."""
        return max(self.windows.items(), key=lambda window: window[1])

    @property
    def horizon(self) -> int:
        """How long a row must be remembered by itself, in microseconds."""
        return self.longest[1] + self.delay + self.lateness

    def keys_of(self, entity: str) -> tuple[str, ...]:
        """The keys of one entity column: all but itself."""
        return tuple(key for key in self.keys if key != entity)


def _several(names: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _check_roles(entities: tuple[str, ...], keys: tuple[str, ...], params: Mapping[str, Any]) -> None:
    """Each column in one role, but for an entity that is a key of the others; each window once."""
    place = _several(params["coordinates"] or ())
    if len(place) not in (0, 2):
        raise ParameterError(
            f"The 'coordinates' parameter of {OWNER} must name two columns, latitude and longitude. Got "
            f"{params['coordinates']!r} instead."
        )
    only_once = [*entities, params["time"], params["amount"], *place, *(key for key in keys if key not in entities)]
    twice = sorted({name for name in only_once if name is not None and only_once.count(name) > 1})
    if twice or len(set(keys)) < len(keys):
        raise ParameterError(
            f"The columns of {OWNER} must have one role each (entities may be keys as well). Got "
            f"{', '.join(map(repr, twice or keys))} more than once. Name each column once."
        )
    lengths = [microseconds(window) for window in params["windows"]]
    if len(set(lengths)) < len(lengths):
        raise ParameterError(
            f"The 'windows' parameter of {OWNER} must have lengths that differ. Got {params['windows']!r} instead."
        )
