"""A sampler as arrays of a model file, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly._sampler.dependence import Follows
from vae_anomaly._sampler.levels import Bins, Codes, Days, Gaps, Levels, Parts, Values, codes_of, days_of, values_of
from vae_anomaly._sampler.numbers import NOT_ROUNDED, SHARES, Continuous
from vae_anomaly._sampler.sampler import Sampler, n_joint
from vae_anomaly.errors import ModelFileError
from vae_anomaly.model.mixture import Mixture
from vae_anomaly.table.columns import DatetimeColumn, NumericColumn
from vae_anomaly.table.schema import Schema

Arrays = dict[str, NDArray[Any]]

_MIXTURE = "mixture."
_MOST_DAYS = 4e6
"""Since 1970, either way: year 9999 is nearer."""

_KINDS: tuple[type, ...] = (Codes, Values, Days, Gaps, Bins)
_WITH_VALUES = (1, 2)
_DTYPES = {
    "continuous": "int32",  # column, whether a time of day, decimals
    "residual": "float32",
    "raw": "float32",
    "value": "float64",
    "levels": "int32",  # kind, column, levels, how many it follows
    "follows": "int32",  # parent, its levels, pairs
    "level_values": "float64",
    "pair": "int32",
    "log_factor": "float32",
    "log_rest": "float32",
}


def sampler_to_arrays(sampler: Sampler) -> Arrays:
    """Name each array, for a model file."""
    columns, nothing = sampler.continuous, np.zeros((0, len(SHARES)))
    described = [(c.column, c.is_time, c.decimals) for c in columns]
    follows = [one for several in sampler.follows for one in several]
    levels = [
        (_KINDS.index(type(node)), node.column, node.n_levels, len(several))
        for node, several in zip(sampler.levels, sampler.follows, strict=True)
    ]
    arrays: Arrays = {
        "continuous": np.array(described).reshape(-1, 3),
        **{name: np.array([getattr(c, name) for c in columns] or nothing) for name in ("residual", "raw", "value")},
        "levels": np.array(levels).reshape(-1, 4),
        "follows": np.array([(one.parent, one.shape[0], len(one.pair)) for one in follows]).reshape(-1, 3),
        "level_values": np.concatenate([np.zeros(0), *map(_values, sampler.levels)]),
        **{
            name: np.concatenate([np.zeros(0), *(getattr(one, name) for one in follows)])
            for name in ("pair", "log_factor", "log_rest")
        },
    }
    named = {name: array.astype(_DTYPES[name]) for name, array in arrays.items()}
    return named | {f"{_MIXTURE}{name}": array for name, array in sampler.mixture.to_arrays().items()}


def sampler_from_arrays(arrays: Mapping[str, NDArray[Any]], schema: Schema, latent: int, dof: float) -> Sampler:
    """Audit what a model file holds, and build the sampler from it.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Trusted in nothing.
    schema : Schema
        The columns of the model.
    latent : int
        Dimension of z.
    dof : float
        Degrees of freedom of the numbers' likelihood.

    Raises
    ------
    ModelFileError
        If the arrays are no sampler of such a model: nothing is followed that could leave them.
    """
    mixture = {name.removeprefix(_MIXTURE): array for name, array in arrays.items() if name.startswith(_MIXTURE)}
    plain = {name: array for name, array in arrays.items() if not name.startswith(_MIXTURE)}
    found = {name: str(array.dtype) for name, array in plain.items()}
    if found != _DTYPES or not all(np.isfinite(array).all() for array in plain.values()):
        raise _refusal(f"finite arrays {_DTYPES}", str(found))
    continuous = _continuous(plain, schema)
    levels, follows = _levels(plain, schema, dof, continuous, len(mixture.get("weight", ())))
    drawn = {c.column for c in continuous} | {node.column for node in levels if not isinstance(node, Gaps)}
    if drawn != set(range(len(schema.modelled))):
        raise _refusal(f"about all {len(schema.modelled)} columns", f"columns {sorted(drawn)}")
    return Sampler(Mixture.from_arrays(mixture, latent + n_joint(continuous)), continuous, levels, follows)


def _continuous(arrays: Mapping[str, NDArray[Any]], schema: Schema) -> tuple[Continuous, ...]:
    described, columns, parts = arrays["continuous"], schema.modelled_columns, Parts.of(schema)
    shape = (len(described), len(SHARES))
    blocks = [arrays[name] for name in ("residual", "raw", "value")]
    if described.shape != (shape[0], 3) or any(block.shape != shape for block in blocks):
        raise _refusal(f"distributions of shape {shape}", str([block.shape for block in blocks]))
    if any((np.diff(block, axis=1) < 0).any() for block in blocks):
        raise _refusal("distributions that rise", "one that does not")
    made = []
    for (column, is_time, decimals), *rows in zip(described.tolist(), *blocks, strict=True):
        kind = columns[column] if 0 <= column < len(columns) else None
        fits = isinstance(kind, DatetimeColumn) and kind.time_of_day if is_time else isinstance(kind, NumericColumn)
        if not fits or not NOT_ROUNDED <= decimals < 16:
            raise _refusal("numbers and times of the schema", f"column {column}, {decimals} decimals")
        place = parts.angles[column][0] if is_time else parts.value[column]
        residual, raw, value = (row.astype(np.float64) for row in rows)
        made.append(Continuous(column, place, bool(is_time), residual, raw, value, decimals))
    return tuple(made)


def _levels(
    arrays: Mapping[str, NDArray[Any]],
    schema: Schema,
    dof: float,
    continuous: Sequence[Continuous],
    n_components: int,
) -> tuple[tuple[Levels, ...], tuple[tuple[Follows, ...], ...]]:
    """The levels and what they follow."""
    described, following = arrays["levels"], arrays["follows"]
    if described.ndim != 2 or described.shape[1] != 4 or (described[:, 2:] < 1).any():
        raise _refusal("four whole numbers for each kind of cell", str(described.shape))
    if following.shape != (described[:, 3].sum(), 3) or (following < 0).any():
        raise _refusal(f"{described[:, 3].sum()} times three whole numbers", str(following.shape))
    n_pairs, n_rest = int(following[:, 2].sum()), int(following[:, 1].sum())
    n_values = int(described[np.isin(described[:, 0], _WITH_VALUES), 2].sum())
    counts = {"pair": n_pairs, "log_factor": n_pairs, "log_rest": n_rest, "level_values": n_values}
    if any(arrays[name].shape != (count,) for name, count in counts.items()):
        raise _refusal(f"so many: {counts}", str({name: arrays[name].shape for name in counts}))
    left = {name: arrays[name] for name in (*counts, "follows")}

    def take(name: str, n: int) -> NDArray[Any]:
        taken, left[name] = left[name][:n], left[name][n:]
        return taken

    nodes: list[Levels] = []
    follows = []
    with_gaps = set(described[described[:, 0] == _KINDS.index(Gaps), 1].tolist())
    sizes = [1, n_components]
    bins = {column.column: column.bins(place) for place, column in enumerate(continuous)}
    for kind, column, n_levels, n_follows in described.tolist():
        values = take("level_values", n_levels if kind in _WITH_VALUES else 0)
        nodes.append(_node(schema, kind, column, values, n_levels, dof, bins))
        several = []
        for parent, n_parent_levels, n in take("follows", n_follows).tolist():
            pair = take("pair", n)
            if parent >= len(sizes) or n_parent_levels != sizes[parent] or _beyond(pair, n_parent_levels * n_levels):
                raise _refusal("columns that follow earlier ones", f"column {column} after {parent}")
            factors = take("log_factor", n), take("log_rest", n_parent_levels)
            several.append(Follows(parent, (n_parent_levels, n_levels), pair, *factors))
        follows.append(tuple(several))
        sizes.append(n_levels + (kind != _KINDS.index(Gaps) and column in with_gaps))
    return tuple(nodes), tuple(follows)


def _beyond(pair: NDArray[np.int32], n_pairs: int) -> bool:
    return bool(((pair < 0) | (pair >= n_pairs)).any())


def _node(
    schema: Schema,
    kind: int,
    column: int,
    values: NDArray[np.float64],
    n_levels: int,
    dof: float,
    bins: Mapping[int, Bins],
) -> Levels:
    columns = schema.modelled_columns
    described = columns[column] if 0 <= column < len(columns) else None
    rising = bool((np.diff(values) > 0).all())
    if kind == _KINDS.index(Gaps) and described is not None and n_levels == Gaps(column).n_levels:
        return Gaps(column)
    if kind == _KINDS.index(Values) and isinstance(described, NumericColumn) and rising:
        return values_of(schema, column, values, dof)
    if kind == _KINDS.index(Days) and isinstance(described, DatetimeColumn) and rising and _are_days(values):
        return days_of(schema, column, values)
    if kind == _KINDS.index(Codes) and column in Parts.of(schema).code and not isinstance(described, DatetimeColumn):
        codes = codes_of(schema, column)
        if codes.n_levels == n_levels:
            return codes
    if kind == _KINDS.index(Bins) and column in bins and bins[column].n_levels == n_levels:
        return bins[column]
    raise _refusal("cells of the schema's columns", f"kind {kind} of column {column} with {n_levels} levels")


def _are_days(values: NDArray[np.float64]) -> bool:
    return bool((np.abs(values) < _MOST_DAYS).all())


def _values(node: Levels) -> NDArray[np.float64]:
    return node.values if isinstance(node, Values) else node.days if isinstance(node, Days) else np.zeros(0)


def _refusal(expected: str, found: str) -> ModelFileError:
    return ModelFileError(
        f"What is kept to sample from must be {expected}. Found {found}. Use the file as it was first written."
    )
