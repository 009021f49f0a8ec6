"""Rows like those of a fit, none of which is one of them: synthetic data to develop with, test with and share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from vae_anomaly._conditions import fixed_cells
from vae_anomaly._editable import editable
from vae_anomaly._params import Instance, Number, OneOf, check_params
from vae_anomaly._sampler.drawing import rows_drawn, seed_of
from vae_anomaly._sampler.sampler import FittedRows, Sampler
from vae_anomaly.errors import ParameterError, VaeAnomalyError
from vae_anomaly.table.cells import arrow_type
from vae_anomaly.table.columns import CategoricalColumn, Column, DatetimeColumn, IdentifierColumn, NumericColumn
from vae_anomaly.table.decoding import decode_column
from vae_anomaly.table.layout import MISSING
from vae_anomaly.table.schema import Schema
from vae_anomaly.training.device import exact_products

Floats = NDArray[np.float64]

_OWNER = "VAEDetector.sample"
_RULES = {
    "n": (Number(0, integer=True),),
    "random_state": (
        Number(0, 2**32 - 1, integer=True),
        Instance((np.random.RandomState, np.random.Generator), "a RandomState, a Generator"),
        OneOf((None,)),
    ),
    "conditions": (Instance((Mapping,), "a mapping of column names to values"), OneOf((None,))),
}


class Sampled:
    """How a `VAEDetector` makes rows: apart from it, for the length of the file alone.

    What rows are sampled from takes a second or so to make, which those who only detect need not wait for: it is made
    when it is first asked for, and the latest when the detector is saved or pickled. No file holds rows.
    """

    _sampled_from: FittedRows | Sampler | None

    @property
    def sampler_(self) -> Sampler | None:
        """What is kept of the rows of `fit`; None in a checkpoint."""
        check_is_fitted(self, "offset_")
        if isinstance(self._sampled_from, FittedRows):
            with exact_products():
                self._sampled_from = self._sampled_from.sampler()
        return self._sampled_from

    def _sample_from(self, source: FittedRows | Sampler | None) -> None:
        self._sampled_from = source

    def __getstate__(self) -> Any:
        if isinstance(self.__dict__.get("_sampled_from"), FittedRows):
            self._sampled_from = self.sampler_
        return super().__getstate__()

    def __copy__(self) -> Any:
        twin = self.__class__.__new__(self.__class__)
        twin.__dict__.update(self.__dict__)
        return twin

    def sample(self: Any, n: int = 1, random_state: Any = None, conditions: Mapping[str, Any] | None = None) -> Any:
        """Draw rows like those of `fit`.

        Parameters
        ----------
        n : int, default=1
            How many rows; 0 gives a table with the columns and no rows.
        random_state : int, RandomState, Generator or None, default=None
            Seed of the draws. With the same int the same rows come again, and more rows begin with the fewer.
        conditions : mapping of str to object or None, default=None
            Cells that all rows have: a level, a number, a date; None for a gap. The other columns are drawn as they
            come with these.

        Returns
        -------
        rows : DataFrame of shape (n, n_features), or ndarray
            The columns of `fit`, in their order, types, ranges and precision, with its levels and as many gaps; an
            array if `fit` had one. Identifiers are missing: what names a row of `fit` names none of these.

        Raises
        ------
        ParameterError
            If `n` is negative; or a condition names no column or an identifier, or a value that no row of `fit` could
            have had; or no row has all of the conditions together.

        Notes
        -----
        A place in latent space is drawn from a mixture of normals that was fitted, at the end of `fit`, to the places
        of training rows in the first network, together with what the decoder left of their numbers: the aggregate
        posterior, which N(0, I) is a poor account of (Tomczak & Welling 2018). The decoder says what cells go there.
        Cells are drawn column after column, each from the decoder's word and from up to six columns before it, so that
        pairs of levels come about as often as in `fit`, and a column that another determines nearly always is here too.
        Numbers and times of day get the distribution that they had. All of this is kept as counts, quantiles and
        covariances of at most 10,000 rows: no row is remembered. That is no guarantee of privacy: a level, a price or a
        date that one row alone had may come again, and so may a pair of levels. `vae_anomaly.synthetic_quality` says
        how near rows come.

        With the default ``contamination="auto"`` the network does not learn from the rows that fit worst, and a label
        that marks few rows comes out with less of what goes with it: fit with ``contamination=0.0`` to make synthetic
        rows. Days are drawn from those of `fit`: that anything else changed in its course is hardly modelled.

        The first sample after a fit, or the first time that it is saved, takes half a second to some seconds more: what
        rows are drawn from is made then. Conditions are met by drawing many rows and choosing among them by how likely
        the fixed cells are beside the others; what hardly ever occurs together takes seconds.

        Examples
        --------
        >>> from vae_anomaly import VAEDetector, make_transactions
        >>> columns = ["amount", "channel", "country", "is_foreign"]
        >>> rows = make_transactions(2_000, random_state=0)[columns]
        >>> detector = VAEDetector(max_steps=100, n_members=1, contamination=0.0).fit(rows)
        >>> drawn = detector.sample(500, random_state=0)
        >>> drawn.shape, drawn.dtypes.equals(rows.dtypes), bool((drawn["amount"].round(2) == drawn["amount"]).all())
        ((500, 4), True, True)
        >>> detector.sample(3, random_state=0, conditions={"channel": "atm"})["channel"].tolist()
        ['atm', 'atm', 'atm']
        """
        check_params(_OWNER, {"n": n, "random_state": random_state, "conditions": conditions}, _RULES)
        check_is_fitted(self, "offset_")
        sampler = self.sampler_
        if sampler is None:
            raise VaeAnomalyError(
                "A checkpoint keeps nothing to sample from. Found a model file of one: use the file that save wrote."
            )
        fixed = fixed_cells(self.schema_, sampler, conditions or {})
        seed = seed_of(random_state)
        with exact_products():
            cells = rows_drawn(sampler, self.model_, int(n), seed, fixed)
        if cells is None:
            raise ParameterError(
                f"The 'conditions' parameter of {_OWNER} must give values that go together. Got "
                f"{dict(conditions or {})!r}, which rows of fit have together a hundredth as often as chance would "
                "have it, or never: leave one out."
            )
        return table_of(self.schema_, cells)


def table_of(schema: Schema, cells: Floats) -> Any:
    """Rows as a table of the columns of fit: a frame, or an array if fit had one.

    Parameters
    ----------
    schema : Schema
        The columns.
    cells : float64 ndarray of shape (n_rows, n_modelled_columns)
        The rows, as `Sampler` draws them.
    """
    of_column = dict(zip(schema.modelled, cells.T, strict=True))
    columns = {column.name: _arrow(column, of_column.get(column.name), len(cells)) for column in schema.columns}
    if schema.named:
        return pd.DataFrame({name: column.to_pandas() for name, column in columns.items()})
    return np.column_stack([column.to_numpy(zero_copy_only=False) for column in columns.values()])


def _arrow(column: Column, cells: Floats | None, n_rows: int) -> Any:
    """One column in the type of fit; nothing but gaps of an identifier."""
    kind = arrow_type(column.dtype)
    if cells is None or isinstance(column, IdentifierColumn):
        inner = kind.value_type if pa.types.is_dictionary(kind) else kind
        return pa.nulls(n_rows, inner).cast(kind)
    if isinstance(column, NumericColumn | DatetimeColumn):
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        arrow = editable(column, plain).to_arrow(np.clip(cells, *_range(column)))
        return arrow.dictionary_encode() if pa.types.is_dictionary(kind) else arrow
    if isinstance(column, CategoricalColumn):
        counts = column.counts + (0.0,) * len(column.rare)
        column = replace(column, levels=column.levels + column.rare, counts=counts, rare=())
    nothing = np.zeros((n_rows, 0), np.float32)
    codes = np.nan_to_num(cells, nan=MISSING).astype(np.int32)[:, None]
    return decode_column(column, nothing, nothing, codes, None)


def _range(column: NumericColumn | DatetimeColumn) -> tuple[float, float]:
    """Least and greatest of fit; of a date in seconds since 1970."""
    if isinstance(column, NumericColumn):
        return column.minimum, column.maximum
    low, high = (float(np.datetime64(end, "us").astype(np.int64)) / 1e6 for end in (column.minimum, column.maximum))
    return low, high
