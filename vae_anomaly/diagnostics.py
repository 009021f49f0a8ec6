"""What a fitted detector has learnt: how well it tells each column, and which latent dimensions it uses."""

from __future__ import annotations

from itertools import compress
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vae_anomaly._cell_quality import LEVELS, CellQuality, cell_quality
from vae_anomaly._fitted import fitted_vae
from vae_anomaly._params import Number, OneOf, Rule, check_params
from vae_anomaly.model.explaining import Outlook, outlooks, present_cells
from vae_anomaly.model.posteriors import posteriors
from vae_anomaly.table.columns import Column, DatetimeColumn, NumericColumn
from vae_anomaly.table.layout import EncodedTable, Layout
from vae_anomaly.training.device import exact_products
from vae_anomaly.training.trainer import ACTIVE_VARIANCE

_MAX_ROWS: tuple[Rule, ...] = (Number(1, integer=True), OneOf((None,)))
_QUALITY = {"conditional": (OneOf((True, False)),), "max_rows": _MAX_ROWS}

_PARTS_OF_DATES = ("time of day", "day of month", "day of year", "weekday")
_SHOWN = (
    "n_observed",
    "rmse",
    "explained",
    "cross_entropy",
    "baseline_cross_entropy",
    "accuracy",
    "baseline_accuracy",
)
_NOTHING, _NEARLY_ALL = 0.01, 0.99
"""KL in nats below which a dimension says nothing of a row, and share of the rows of which it then says nothing."""


def reconstruction_quality(
    detector: Any, X: Any, *, conditional: bool = False, max_rows: int | None = 10_000
) -> pd.DataFrame:
    """How well a detector tells each column, and whether it is as sure of it as it may be.

    Parameters
    ----------
    detector : VAEDetector or CalibratedDetector
        Fitted; the latter with a `VAEDetector` in it.
    X : DataFrame or array-like of shape (n_samples, n_features)
        Rows with the columns of `fit`; best such as the detector has not seen.
    conditional : bool, default=False
        Tell each cell from the others of its row alone. False tells it as a reconstruction does, which has seen it.
    max_rows : int or None, default=10,000
        Rows that are looked at, at most: of more, so many at even distances. None looks at all.

    Returns
    -------
    quality : DataFrame
        A line for each column, and of a date for each of its parts:

        - column, kind: of the table.
        - part: "value", "level"; of a date "time of day", "day of month", "day of year" or "weekday".
        - n_observed: cells that are there.
        - rmse: root of the mean squared error. Of numbers in standard deviations of the training rows; of places in a
          cycle of time as chords of a circle of radius 1.
        - explained: 1 less the error over that of always telling the mean, R², of numbers and places in a cycle; of
          levels 1 less the cross-entropy over that of their shares (McFadden 1974). 0 is no better than the column by
          itself, below 0 worse; missing if there is nothing to explain.
        - cross_entropy, baseline_cross_entropy: of levels, mean surprisal of the cells in nats, and what it would be
          if each level had the probability that is its share in these rows.
        - accuracy, baseline_accuracy: of levels, share of cells that are the likeliest level, and of the commonest.
        - coverage_50, coverage_80, coverage_95: share of the cells within the middle 50, 80 and 95 % of what is
          expected; of levels, among the likeliest ones that have so much together, of which the last one counts in
          the share that is needed. Shares above these say that the detector expects more spread than there is.

    Raises
    ------
    ParameterError
        The detector is no fitted `VAEDetector`, or a parameter is outside its domain.
    SchemaMismatchError
        The columns differ from those of `fit`.

    Notes
    -----
    The members' distributions are averaged. Scores want a floor under the spread of numbers (0.14 standard deviations)
    and are taught with noise on their inputs: with ``conditional=False`` coverage is above its level by design. Cells
    are not hidden in training: with ``conditional=True`` coverage of numbers that the other cells hardly tell can be
    far below.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from vae_anomaly import VAEDetector, reconstruction_quality
    >>> rng = np.random.default_rng(0)
    >>> net = rng.gamma(9, 9, 2_000).round(2)
    >>> rows = pd.DataFrame({"net": net, "gross": (net * 1.2).round(2), "shop": rng.choice(["a", "b"], 2_000)})
    >>> detector = VAEDetector(max_steps=300, n_members=1).fit(rows[:1_500])
    >>> quality = reconstruction_quality(detector, rows[1_500:], conditional=True).set_index("column")
    >>> bool(quality.loc["net", "explained"] > 0.8 > 0.1 > quality.loc["shop", "explained"])
    True
    """
    check_params("reconstruction_quality", {"conditional": conditional, "max_rows": max_rows}, _QUALITY)
    vae = fitted_vae(detector)
    table = _some_rows(vae._encode(X), max_rows)
    lines = [
        {"column": column.name, "kind": str(column.kind), "part": name, **_figures(found)}
        for number, column in enumerate(vae.schema_.modelled_columns)
        for name, found in zip(_part_names(column), _of_column(vae, table, number, conditional), strict=True)
    ]
    return pd.DataFrame(lines)


def latent_activity(detector: Any, X: Any, *, max_rows: int | None = 10_000) -> pd.DataFrame:
    """Which latent dimensions of a detector say something of its rows, and which have collapsed to the prior.

    Parameters
    ----------
    detector : VAEDetector or CalibratedDetector
        Fitted; the latter with a `VAEDetector` in it.
    X : DataFrame or array-like of shape (n_samples, n_features)
        Rows with the columns of `fit`.
    max_rows : int or None, default=10,000
        As in `reconstruction_quality`.

    Returns
    -------
    activity : DataFrame
        A line for each dimension:

        - name: "latent0", "latent1", ..., as the columns of `VAEDetector.transform`.
        - member, dimension: of the ensemble and of its latent space, from 0.
        - variance: of the posterior means over the rows.
        - mean_kl: KL of the posteriors to N(0, 1), in nats, averaged over the rows.
        - active: whether the variance is above 0.01 (Burda et al. 2016, "Importance weighted autoencoders").
        - collapsed: whether the KL is below 0.01 nats in 99 % of the rows: the posterior is the prior, whatever the row
          (Lucas et al. 2019, "Don't blame the ELBO!").

    Raises
    ------
    ParameterError
        The detector is no fitted `VAEDetector`, or `max_rows` is no whole number above 0.
    SchemaMismatchError
        The columns differ from those of `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_anomaly import VAEDetector, latent_activity
    >>> X = np.random.default_rng(0).normal(size=(500, 2)).cumsum(axis=1)
    >>> activity = latent_activity(VAEDetector(max_steps=50, n_members=1).fit(X), X)
    >>> activity["active"].tolist()
    [True, True]
    """
    check_params("latent_activity", {"max_rows": max_rows}, {"max_rows": _MAX_ROWS})
    vae = fitted_vae(detector)
    table = _some_rows(vae._encode(X), max_rows)
    with exact_products():
        q = posteriors(vae.model_, table)
    kl, config = q.kl(), vae.model_.config
    variance = q.mu.astype(np.float64).var(axis=1).ravel()
    return pd.DataFrame(
        {
            "name": vae.get_feature_names_out(),
            "member": np.repeat(np.arange(config.n_members), config.latent),
            "dimension": np.tile(np.arange(config.latent), config.n_members),
            "variance": variance,
            "mean_kl": kl.mean(axis=1).ravel(),
            "active": variance > ACTIVE_VARIANCE,
            "collapsed": ((kl < _NOTHING).mean(axis=1) >= _NEARLY_ALL).ravel(),
        }
    )


def _some_rows(table: EncodedTable, most: int | None) -> EncodedTable:
    """Rows at even distances, if there are more than so many."""
    if most is None or len(table) <= most:
        return table
    return table[np.linspace(0, len(table) - 1, most).astype(np.intp)]


def _of_column(vae: Any, table: EncodedTable, number: int, conditional: bool) -> list[CellQuality]:
    """How well each part of one column is told."""
    layout = vae.schema_.layout()
    rows = table[present_cells(table, layout)[:, number]]
    parts = np.flatnonzero(layout.column_of_part == number)
    if not len(rows):
        return [CellQuality(0) for _ in parts]
    with exact_products():
        tiles = outlooks(vae.model_, rows, np.full(len(rows), number), hidden=conditional)
    found = []
    for part in parts:
        outlook = Outlook.of_tiles([tile for tile in tiles if tile.part == part])
        cells = _cells_of_part(rows, layout, int(part))[outlook.rows]
        found.append(cell_quality(layout.parts[part], outlook, cells, vae.model_.config.dof))
    return found


def _cells_of_part(rows: EncodedTable, layout: Layout, part: int) -> NDArray[Any]:
    """The encoded cells of one part."""
    for block in (rows.values, rows.angles, rows.codes):
        if part < block.shape[1]:
            return np.asarray(block[:, part])
        part -= block.shape[1]
    raise ValueError(f"Expected one of {layout.n_parts} parts.")


def _part_names(column: Column) -> tuple[str, ...]:
    """What the parts of a column are called, in the order of `Column.parts`."""
    if isinstance(column, NumericColumn):
        return ("value",)
    if not isinstance(column, DatetimeColumn):
        return ("level",)
    has = (column.time_of_day, column.day_of_month, column.day_of_year, column.day_of_week)
    return tuple(compress(_PARTS_OF_DATES, has))


def _figures(found: CellQuality) -> dict[str, float]:
    """The figures by name, in the order to show."""
    coverage = {f"coverage_{100 * level:g}": share for level, share in zip(LEVELS, found.coverage, strict=True)}
    return {**{name: getattr(found, name) for name in _SHOWN}, **coverage}
