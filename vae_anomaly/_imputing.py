"""Gaps of a table filled: with what is expected given the cells that are there, or with draws of what may have been."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from vae_anomaly._editing import Booleans, Editor, Floats
from vae_anomaly._filling import NOT_ROUNDED, Filling, FittedCells
from vae_anomaly._inputs import validated
from vae_anomaly._params import Instance, Number, OneOf, check_params
from vae_anomaly.errors import VaeAnomalyError
from vae_anomaly.model.imputing import Completion
from vae_anomaly.table.columns import BooleanColumn, CategoricalColumn
from vae_anomaly.table.layout import FIRST_LEVEL, EncodedTable, PartKind
from vae_anomaly.table.schema import Schema
from vae_anomaly.training.device import exact_products

_OWNER = "VAEDetector.impute"
_RULES = {
    "n_draws": (Number(1, 1_000_000, integer=True), OneOf((None,))),
    "random_state": (
        Number(0, 2**32 - 1, integer=True),
        Instance((np.random.RandomState,), "a RandomState"),
        OneOf((None,)),
    ),
}

_WITHOUT_END = 1 / 3
"""A number of as many decimals as can be."""


class Imputed:
    """How a `VAEDetector` fills gaps: apart from it, for the length of the file alone.

    How far the network is to be believed takes a moment to measure, which those who only detect need not wait for: it
    is measured when it is first asked for, and the latest when the detector is saved or pickled. No file holds rows.
    """

    _filled_from: FittedCells | Filling | None

    @property
    def filling_(self) -> Filling | None:
        """How far the network is to be believed in missing numbers; None in a checkpoint."""
        check_is_fitted(self, "offset_")
        if isinstance(self._filled_from, FittedCells):
            self._filled_from = self._filled_from.filling()
        return self._filled_from

    def _fill_from(self, source: FittedCells | Filling | None) -> None:
        self._filled_from = source

    def __getstate__(self) -> Any:
        if isinstance(self.__dict__.get("_filled_from"), FittedCells):
            self._filled_from = self.filling_
        return super().__getstate__()

    def impute(self: Any, X: Any, n_draws: int | None = None, *, random_state: Any = 0) -> Any:
        """Fill the missing cells of a table, given the others of their rows.

        Cells that are there stay as they are, in their types. What is filled in could stand in the table: a level that
        fit has seen, a number within the range of fit and in its precision, a real date.

        Parameters
        ----------
        X : DataFrame (pandas, polars, pyarrow) or array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`.
        n_draws : int or None, default=None
            None fills in what is expected: of a number the conditional mean, of a category or boolean the likeliest
            level. An integer gives that many tables with draws of what may have been there (multiple imputation, Rubin
            1987): their spread says how little is known.
        random_state : int, RandomState or None, default=0
            Seed of the draws; with the same int the same tables come again. What is expected is not drawn.

        Returns
        -------
        table : table of the kind of `X`
            Rows, columns, index and types of `X`; a list of `n_draws` tables where that is an integer. Whole numbers
            become floats, and categories text, only where the type of `X` cannot hold what is filled in.

        Raises
        ------
        ParameterError
            If `n_draws` is neither None nor 1 or more.
        SchemaMismatchError
            If the columns differ from those of `fit`.

        Notes
        -----
        A column that was set aside as an identifier keeps its gaps, and so does one in which fit saw no value
        at all. A row without any cell gets each column's mean or most frequent level, and draws of it are made
        around places of training rows. A level that fit never saw says so to the network and nothing more. A
        date is filled by its expected place in the day, week, month and year, near the last day of fit: elapsed
        time is not modelled. A number is kept in the range of fit.

        What is expected does not depend on the other rows. z is moved from the posterior mean, which a row with many
        gaps says too little of, to where log p(x_observed | z) + log N(z; 0, I) is highest, and the decoder says what
        is there. Of numbers, what it misses of the observed ones is carried over as far as such misses go together, and
        what hidden cells of held-out rows could not confirm is shrunk towards the mean. Draws take z from the posterior
        around that place, one network's after the other's, so that cells of a row that are drawn go together; those of
        numbers are stretched so that intervals of 80 % cover 80 % of the numbers hidden in held-out rows.

        Anomalies are filled with what would be normal beside the rest of the row: a filled cell is no evidence, and a
        filled table no better to score than the one with gaps. A table with gaps needs no filling for any other method
        of this class.

        Of five public tables 10 and 30 % of the test rows' cells were removed. Numbers that were filled in were off by
        0.42 to 0.97 standard deviations (root mean square), those of scikit-learn's KNNImputer by 0.28 to 1.01, of
        its IterativeImputer by 0.51 to 1.41; on mixed payments by 0.48 and 0.44, and KNNImputer's by 0.56. Intervals
        of 80 % covered 79 to 84 % of them, and 92 % where numbers have few values. Measured by
        ``python -m vae_anomaly.benchmark imputation``.

        Mattei & Frellsen (2019), "MIWAE", for the problem; Kim et al. (2018), "Semi-amortized variational
        autoencoders", for the search.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from vae_anomaly import VAEDetector
        >>> rng = np.random.default_rng(0)
        >>> net = rng.gamma(9, 9, 2_000).round(2)
        >>> rows = pd.DataFrame({"net": net, "gross": (net * 1.2).round(2), "days": rng.integers(5, 30, 2_000)})
        >>> detector = VAEDetector(max_steps=300, n_members=1).fit(rows)
        >>> gaps = pd.DataFrame({"net": [70.0, None], "gross": [None, 120.0], "days": [14, 20]})
        >>> filled = detector.impute(gaps)
        >>> bool(np.allclose(filled["gross"] / filled["net"], 1.2, atol=0.06)), filled["days"].tolist()
        (True, [14, 20])

        How much is known, by draws of what may have been there:

        >>> draws = detector.impute(gaps, n_draws=50)
        >>> gross = [table["gross"][0] for table in draws]
        >>> len(draws), bool(np.std(gross) < 0.5 * rows["gross"].std())
        (50, True)
        """
        check_params(_OWNER, {"n_draws": n_draws, "random_state": random_state}, _RULES)
        check_is_fitted(self, "offset_")
        if self.filling_ is None:
            raise VaeAnomalyError(
                "A checkpoint does not know how far to believe the network in gaps. Found a model file of one: use the "
                "file that save wrote."
            )
        tables = _filled(self, Editor(self.schema_, validated(self, X, reset=False, at_least=0)), n_draws, random_state)
        return next(tables) if n_draws is None else list(itertools.islice(tables, int(n_draws)))


def _filled(detector: Any, editor: Editor, n_draws: int | None, random_state: Any) -> Iterator[Any]:
    """Tables without gaps: the expected one alone, or draws without end."""
    rows = editor.rows()
    gap: Booleans = np.isnan(rows.cells)
    where = np.flatnonzero(gap.any(axis=1))
    while not len(where):
        yield editor.changed_table(rows, gap)
    some, filling, schema = rows[where], detector.filling_, detector.schema_
    blank = np.asarray(gap[where].all(axis=1))
    precise = _precise(schema, filling)
    with exact_products():
        completion = Completion.of_rows(detector.model_, some.table)
        expected = completion.expected()
    numbers = filling.expected(expected.values.astype(np.float64), some.table.values.astype(np.float64))
    usual = EncodedTable(_float32(numbers), expected.angles, expected.codes)
    usual.values[blank] = filling.centre
    usual.codes[blank] = _most_frequent(schema, expected.codes[blank])

    def table(cells: EncodedTable) -> Any:
        found = rows.copy()
        found.put(where, editor.likely(some, gap[where], cells, precise))
        return editor.changed_table(found, gap & ~np.isnan(found.cells))

    if n_draws is None:
        yield table(usual)
        return
    missing = 1 - some.table.observed.mean(axis=1)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    draws = completion.draws(seed)
    while True:
        with exact_products():
            cells, away = next(draws)
        values = np.where(blank[:, None], cells.values, filling.drawn(numbers, away, missing))
        yield table(EncodedTable(_float32(values), cells.angles, cells.codes))


def _float32(numbers: Floats) -> NDArray[np.float32]:
    return np.asarray(numbers, dtype=np.float32)


def _most_frequent(schema: Schema, codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """The codes with each category's and boolean's most frequent level in their place."""
    out = codes.copy()
    discrete = schema.layout().of_kind(PartKind.BINARY, PartKind.CATEGORY)
    for place, part in enumerate(discrete):
        column = schema.modelled_columns[part.column]
        if isinstance(column, BooleanColumn | CategoricalColumn):
            out[:, place] = FIRST_LEVEL + int(np.argmax(column.counts))
    return out


def _precise(schema: Schema, filling: Filling) -> Floats:
    """For each column of numbers one that has its precision; NaN for the others."""
    out = np.full(len(schema.modelled), np.nan)
    layout = schema.layout()
    for part, decimals in zip(layout.column_of_part, filling.decimals.tolist(), strict=False):  # numbers come first
        out[part] = _WITHOUT_END if decimals == NOT_ROUNDED else 10.0**-decimals
    return out
