"""Features of transactions that know their past, and nothing else.

A stolen card looks normal in every single row: it is odd against its own history. `BehaviorFeatures` sets each row
against the rows of the same card, customer or terminal that came before it, in training and in scoring alike. What that
is worth, and what it costs, measures ``python -m vae_anomaly.benchmark behavior``.

How it is computed: rows are sorted by entity and time, so that a window is a stretch of neighbouring rows; all windows
are then counted at once by NumPy. What was tried for it, on the 651,521 payments of the Fraud Detection Handbook: for
each customer four windows (1 hour to 30 days) with count, sum, maximum and distinct terminals; one core; then the same
rows as those of a single customer. Single runs, on a busy machine.

============================  ===============  ===============  ========================================
engine                        5,000 customers  one customer     at ties
============================  ===============  ===============  ========================================
this module, from a frame     773,000 rows/s   402,000 rows/s   exact
DuckDB 2.0, windows of ROWS   202,000 rows/s   17,000 rows/s    exact
DuckDB 2.0, windows of RANGE  134,000 rows/s   10,000 rows/s    exact
polars 2.1, rolling           932,000 rows/s   none in 200 s    wrong: no tied row sees another
============================  ===============  ===============  ========================================

This module has DuckDB's counts and maxima in every row, and its sums but for rounding, and needs no other package.
polars miscounts 1 row in 270 where times are whole minutes. What is larger than memory comes in tables, by `update`:
between them only the rows of the longest window are kept, and counts of the older ones. 10 million payments of 100,000
cards, half a million at once, took 28 seconds and 1.25 GB; a row by itself, with 290,000 remembered, 10 milliseconds.
"""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.validation import check_is_fitted

from vae_anomaly._behavior import files
from vae_anomaly._behavior.computing import features
from vae_anomaly._behavior.history import History, moment
from vae_anomaly._behavior.plan import Plan
from vae_anomaly._behavior.rows import Batch, OddRowError, ticks
from vae_anomaly._behavior.spec import Spec
from vae_anomaly._behavior.timeline import Integers
from vae_anomaly.table.frames import Table, as_table


class BehaviorFeatures(TransformerMixin, BaseEstimator):
    """Set each transaction against the past of its card, customer or terminal.

    A row sees rows with an earlier time, and of those with the same time the ones that came before it in the input;
    never itself, never a later one, never a label. The order of the input matters for ties alone. Features are the same
    to the last bit whether rows come in one table, in daily ones or one by one.

    Parameters
    ----------
    entities : str or tuple of str
        Columns whose values have a past, such as a card, a customer, a terminal. 5, 5.0 and "5" are one value if the
        column held numbers in `fit`.
    time : str
        Column of the time: dates, ISO text, or seconds since some midnight. With a time zone instants are compared, and
        hours are those of the column's own clock.
    amount : str or None, default=None
        Column of the amount. None: no features of amounts.
    windows : tuple of str, default=("1h", "1D", "7D", "30D")
        How far back to look. A row from exactly so long ago is out.
    keys : str or tuple of str, default=()
        Columns of what an entity does: merchants, countries, devices, categories. An entity may be a key of the others.
    coordinates : (str, str) or None, default=None
        Columns of latitude and longitude, in degrees, of where the transaction took place.
    features : "small", "all" or tuple of str, default="small"
        Which of the features below. "small" leaves out those marked *: a likelihood adds up what every column says, and
        these drown more frauds than they find. It was chosen on rows of development, none of them a test row of the
        benchmark: mean average precision of `VAEDetector` 0.25, with "z" added 0.25, "seconds_since_last" 0.23, "sum"
        0.18, "std" 0.17, "max" 0.15, and with "all" 0.12. All of these sets are simulated.
    delay : str or None, default=None
        How long it takes until a row is known to later ones: "1D" has nothing of the last day seen, and each window end
        a day ago.
    allowed_lateness : str or None, default=None
        How much earlier than the latest row of former tables a row may be. It sees its own past, without what is later;
        rows that were there before it have not seen it. None: late rows are an error.
    max_entities : int or None, default=1_000_000
        Most values of each entity column to remember. Beyond it those that were seen longest ago are forgotten, until
        nine tenths are left, with a warning: they will look new.
    keep_columns : bool, default=True
        Hand on the other columns of the table, before the features: all but entities, time and coordinates, which name
        or place a row. Drop labels and row numbers yourself. False: features alone.

    Attributes
    ----------
    history_ : History
        What is remembered: the rows of the longest window, and counts of older ones.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, where `X` had any.

    Notes
    -----
    For each entity column E, amount A, window W and key K, with L the longest window:

    - ``E__count_W``, ``E__A_mean_W``, and "sum"*, "std"* (with n − 1) and "max"* alike: of the past rows.
    - ``E__A_ratio_L``: this amount over the entity's mean; ``E__A_z_L``*: less the mean, in standard deviations.
    - ``E__seconds_since_last``*: since the last row, however long ago.
    - ``E__K_distinct_W``: different values; ``E__K_first``: 1 if the entity never had this one, else 0;
      ``E__K_share``: share of all its past rows that had it.
    - ``E__hour_share``: share of all its past rows in this hour of the day.
    - ``E__km_from_last``, ``E__km_per_hour``: from the last place, as the crow flies; at least a minute is reckoned.
    - ``TIME__hour`` (0 to 23), ``TIME__weekday`` (0 is Monday).

    A tuple for `features` names them by their words: "count", "seconds_since_last", "hour".

    Where there is nothing to tell, the cell is missing (NaN): the mean of no rows, the deviation of one, the deviation
    from amounts that are all the same, the share of no past. Counts, and sums of no rows, are 0. A row without a time
    has no features and is not remembered; one without an entity has none of it; one without an amount counts, and adds
    nothing to sums and means. What happened before the first row is not known: give `fit` the rows of one longest
    window before those that a detector shall learn from.

    ``fit(X).transform(X)`` is ``fit_transform(X)``: the rows of `fit` are known again when all of them come in the same
    order, and see their own past, not their future. All other rows continue from what is remembered, and must not lie
    before its end: split by time (`TimeOrderedSplit`), never at random. `transform` changes nothing; `update` gives
    features and remembers, `partial_fit` remembers.

    Memory is that of the rows of the longest window, and of counts: one for each pair of an entity and a value of a key
    (16 bytes, and each value once). `max_entities` bounds the entities, whose counts are forgotten with them. Nothing
    bounds how many values a key has: one that is new in every row, such as a payment's number, grows for ever.

    `save_pipeline` writes this and the detector after it to one model file. ``vae-anomaly fit FILE -o MODEL --behavior
    SPEC.toml`` does as much, where the file has the parameters by their names (``entities = ["card"]``), without those
    that are None, but ``max_entities = "all"`` for no bound; and, if only later rows shall be learnt from, ``learn_from
    = 2025-02-01``. Its commands read files in chunks and in the order given: the rows of one chunk may come in any
    order, and no row before the latest of earlier chunks.

    Aggregates of a card's past as features: Whitrow et al. (2009), "Transaction aggregation as a strategy for credit
    card fraud detection"; Bahnsen et al. (2016), "Feature engineering strategies for credit card fraud detection".

    Examples
    --------
    >>> import pandas as pd
    >>> from vae_anomaly import BehaviorFeatures
    >>> moments = pd.to_datetime(["2025-01-06 09:00", "2025-01-06 09:30", "2025-01-06 12:00", "2025-01-07 08:00"])
    >>> payments = pd.DataFrame({"card": [7, 7, 8, 7], "moment": moments, "amount": [20.0, 40.0, 99.0, 900.0]})
    >>> behavior = BehaviorFeatures("card", "moment", "amount", features=("count", "mean", "max", "ratio"))
    >>> rows = behavior.fit_transform(payments)
    >>> rows[["amount", "card__count_1D", "card__amount_mean_7D", "card__amount_ratio_30D"]]
       amount  card__count_1D  card__amount_mean_7D  card__amount_ratio_30D
    0    20.0             0.0                   NaN                     NaN
    1    40.0             1.0                  20.0                     2.0
    2    99.0             0.0                   NaN                     NaN
    3   900.0             2.0                  30.0                    30.0

    The next rows continue from these:

    >>> later = payments.tail(1).assign(moment=pd.Timestamp("2025-01-08"))
    >>> behavior.transform(later)["card__amount_max_7D"].tolist()
    [900.0]
    """

    history_: History

    def __init__(
        self,
        entities: str | tuple[str, ...],
        time: str,
        amount: str | None = None,
        *,
        windows: tuple[str, ...] = ("1h", "1D", "7D", "30D"),
        keys: str | tuple[str, ...] = (),
        coordinates: tuple[str, str] | None = None,
        features: str | tuple[str, ...] = "small",
        delay: str | None = None,
        allowed_lateness: str | None = None,
        max_entities: int | None = 1_000_000,
        keep_columns: bool = True,
    ) -> None:
        self.entities = entities
        self.time = time
        self.amount = amount
        self.windows = windows
        self.keys = keys
        self.coordinates = coordinates
        self.features = features
        self.delay = delay
        self.allowed_lateness = allowed_lateness
        self.max_entities = max_entities
        self.keep_columns = keep_columns

    # ---------------------------------------------------------------- remembering

    def fit(self, X: Any, y: Any = None) -> Self:
        """Forget what was, and remember these rows.

        Parameters
        ----------
        X : table of shape (n_samples, n_columns)
            Transactions, in any order.
        y : ignored
            For pipelines. Labels are never looked at.

        Returns
        -------
        self : BehaviorFeatures
            Fitted. After an error, an earlier fit is as it was.

        Raises
        ------
        ParameterError
            A parameter is outside its domain.
        TableError
            A column is not there, a cell is not what its column needs, or a column is named as a feature.
        """
        self._fit(X)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Remember more rows, without giving their features.

        Parameters
        ----------
        X : table of shape (n_samples, n_columns)
            Rows that come after those before.
        y : ignored
            For pipelines.

        Returns
        -------
        self : BehaviorFeatures
            Fitted by these rows, if it was not. After an error, as it was.

        Raises
        ------
        TableError
            As of `transform`.
        """
        if not hasattr(self, "history_"):
            return self.fit(X)
        self.history_ = self.history_.after(self._continued(X)[1], self._plan.spec)
        return self

    # ---------------------------------------------------------------- features

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Forget what was, remember these rows, and give each one's features, of its own past.

        Parameters
        ----------
        X, y
            As in `fit`.

        Returns
        -------
        rows : table of shape (n_samples, n_features)
            As of `transform`.
        """
        table, batch = self._fit(X)
        plan = self._plan
        return plan.output(X, table, features(plan.spec, History.none(plan.spec), batch))

    def transform(self, X: Any) -> Any:
        """Give features, and change nothing: the same rows get the same features again.

        Parameters
        ----------
        X : table of shape (n_samples, n_columns)
            Rows that come after those that are remembered, in any order; or the very rows of `fit`. They see each
            other's past.

        Returns
        -------
        rows : table of shape (n_samples, n_features)
            In the order of `X` and in its library, with its index. Features are float64.

        Raises
        ------
        SchemaMismatchError
            The columns, or what their times are, differ from `fit`.
        TableError
            A cell is not what its column needs, or a row is late.
        """
        check_is_fitted(self)
        plan = self._plan
        start = History.none(plan.spec)
        table = plan.table(X)
        if table.n_rows == self._fitted[0]:
            batch = plan.read(table, start.levels)
            if batch.rows.digest(batch.levels) == self._fitted[1]:
                return plan.output(X, table, features(plan.spec, start, batch))
        table, batch = self._continued(X)
        return plan.output(X, table, features(plan.spec, self.history_, batch))

    def update(self, X: Any) -> Any:
        """Give features of the next rows of a stream, and remember these rows.

        Parameters
        ----------
        X : table of shape (n_samples, n_columns)
            Rows that come after those before, in any order.

        Returns
        -------
        rows : table of shape (n_samples, n_features)
            As of `transform`.

        Raises
        ------
        SchemaMismatchError, TableError
            As of `transform`. What is remembered is then as it was.
        """
        check_is_fitted(self)
        table, batch = self._continued(X)
        rows = self._plan.output(X, table, features(self._plan.spec, self.history_, batch))
        self.history_ = self.history_.after(batch, self._plan.spec)
        return _wrap_data_with_container("transform", rows, X, self)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the columns that come out.

        Parameters
        ----------
        input_features : ignored
            The names of `fit` hold.

        Returns
        -------
        names : ndarray of str
            Columns that are handed on, then features.
        """
        check_is_fitted(self)
        return np.array([*self._plan.kept, *self._plan.made], dtype=object)

    # ---------------------------------------------------------------- files

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write what is remembered to one Parquet file, which any tool can read.

        It holds rows of the longest window: card numbers, times and amounts. Keep it as safe as these.

        Parameters
        ----------
        path : path-like
            Ends in ``.parquet``.
        overwrite : bool, default=False
            Replace an existing file.

        Raises
        ------
        OutputError
            If the file exists and may not be overwritten, or cannot be written.
        """
        check_is_fitted(self)
        files.write(path, self.get_params(deep=False), self._plan, self.history_, self._fitted, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; nothing in it is executed. It goes on as if it had never been away.

        Parameters
        ----------
        path : path-like
            A file that `save` wrote.

        Returns
        -------
        behavior : BehaviorFeatures
            Fitted.

        Raises
        ------
        ModelFileError
            If it is another file, damaged, or of a newer format.
        """
        return cls._of_parts(*files.read(path))

    def _to_bytes(self) -> bytes:
        """What `save` writes, for a model file."""
        check_is_fitted(self)
        return files.to_bytes(self.get_params(deep=False), self._plan, self.history_, self._fitted)

    @classmethod
    def _of_bytes(cls, content: bytes, path: str | os.PathLike[str]) -> Self:
        return cls._of_parts(*files.read(path, content))

    @classmethod
    def _of_parts(cls, params: dict[str, Any], plan: Plan, history: History, fitted: files.Fitted) -> Self:
        behavior = cls(**params)
        behavior._adopt(plan, history, fitted)
        return behavior

    # ---------------------------------------------------------------- scikit-learn

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    # ---------------------------------------------------------------- the parts of a fit

    def _fit(self, X: Any) -> tuple[Table, Batch]:
        spec = Spec.of_params(self.get_params(deep=False))
        table = as_table(X)
        plan, start = Plan.of_table(spec, table), History.none(spec)
        batch = plan.read(table, start.levels)
        self._adopt(plan, start.after(batch, spec), (batch.n_rows, batch.rows.digest(batch.levels)))
        return table, batch

    def _adopt(self, plan: Plan, history: History, fitted: files.Fitted) -> None:
        self.history_, self._plan, self._fitted = history, plan, fitted
        self.n_features_in_ = len(plan.columns)
        if plan.named:
            self.feature_names_in_ = np.array(plan.columns, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _continued(self, X: Any) -> tuple[Table, Batch]:
        """Rows that come after those that are remembered."""
        table = self._plan.table(X)
        batch = self._plan.read(table, self.history_.levels)
        self._refuse_late(batch)
        return table, batch

    def _ticks(self, X: Any) -> Integers:
        """Microseconds since 1970 of each row, as fit read its times; `NEVER` where one is missing."""
        return ticks(self._plan.table(X), self._plan.spec, self._plan.readings)

    def _refuse_late(self, batch: Batch) -> None:
        clock, spec = self.history_.clock, self._plan.spec
        if clock is None or not len(batch.rows):
            return
        earliest = clock - spec.lateness
        late = batch.rows.time < earliest
        if late.any():
            row = int(late.argmax())
            found, expected, latest = (moment(int(tick)) for tick in (batch.rows.time[row], earliest, clock))
            raise OddRowError(
                spec.time,
                int(batch.placed[row]),
                f"expected no time before {expected}, as rows until {latest} are remembered; found {found}, and "
                f"{int(late.sum())} such rows in all. Give rows in order of time: fit anew with all of them, split by "
                "time instead of at random, or set allowed_lateness.",
            )
