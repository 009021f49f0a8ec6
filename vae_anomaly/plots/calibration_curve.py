"""What p-values promised of normal rows, against what came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom, hypergeom

from vae_anomaly._params import Number, OneOf, check_params
from vae_anomaly.decision._labelled import Floats, labelled_scores
from vae_anomaly.decision.calibration import Calibration
from vae_anomaly.decision.calibration_rows import as_scores
from vae_anomaly.errors import ParameterError, TableError
from vae_anomaly.plots._axes import BLUE, GREY, PALE, axes_for, headroom, legend_on_top, n_legend_columns
from vae_anomaly.plots._marks import name_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_CONFIDENCE = 0.95
_N_LEVELS, _MOST_POINTS = 250, 2_000
_PROMISED = "as promised"
_COUNT = {"n_calibration": (Number(1, integer=True), OneOf((None,)))}
_SHARE = Number(0, 1, open_low=True)


class CalibrationCurveDisplay:
    """Share of normal rows whose p-value is at most p, against p: what each false-alarm rate promised and what came.

    Made by `from_estimator` or `from_predictions`. Above the diagonal more normal rows alert than was promised. The
    band has the curve of 95 in 100 samples of rows like the calibration rows, at each p by itself; rows that come in
    bursts, or many of one card, stray further.

    Parameters
    ----------
    p_value : float64 ndarray of shape (n_rows,)
        Of the rows that count, ascending.
    levels : mapping of str to float
        The p-values up to which rows alert, by the name to show.
    n_calibration : int or None
        Rows that the p-values were taken from.
    labelled : bool
        Whether the rows are known to be normal.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the picture.
    figure_ : matplotlib Figure
        That the axes belong to.
    line_ : matplotlib Line2D
        The observed shares.
    band_ : matplotlib PolyCollection
        Around the diagonal.
    dots_ : matplotlib Line2D
        The levels.

    Notes
    -----
    Without `n_calibration` the band is that of a binomial count with rate p. A false-alarm rate that calibration rows
    promise is itself only as sure as they are many (Vovk 2012, "Conditional validity of inductive conformal
    predictors"): with n of them the rate at p = k / (n + 1) has a Beta(k, n + 1 − k) distribution, and the count is
    beta-binomial.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_anomaly.plots import CalibrationCurveDisplay
    >>> p_value = np.random.default_rng(0).uniform(size=1_000)
    >>> display = CalibrationCurveDisplay.from_predictions(p_value, levels={"alert": 0.01})
    >>> display.share(0.01), [bound.tolist() for bound in display.band(np.array([0.01]))]
    (0.011, [[0.004], [0.017]])
    """

    ax_: Axes
    figure_: Figure
    line_: Line2D
    band_: PolyCollection
    dots_: Line2D

    def __init__(
        self,
        *,
        p_value: Floats,
        levels: Mapping[str, float],
        n_calibration: int | None = None,
        labelled: bool = False,
    ) -> None:
        self.p_value = p_value
        self.levels = levels
        self.n_calibration = n_calibration
        self.labelled = labelled

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        y: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Take the p-values of held-out rows, and draw them; the threshold is marked where there is one for all rows.

        Parameters
        ----------
        detector : CalibratedDetector
            Fitted.
        X : table of shape (n_samples, n_features)
            Rows that neither the detector nor its threshold has seen.
        groups : array-like of shape (n_samples,), optional
            Segments, for a detector that has thresholds for them.
        y, ax, **kwargs
            As in `from_predictions`.

        Returns
        -------
        CalibrationCurveDisplay
            With the picture in `ax_`.

        Raises
        ------
        ParameterError
            The detector has no calibration.
        TableError, MissingExtraError
            As in `from_predictions`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.ensemble import IsolationForest
        >>> from vae_anomaly import CalibratedDetector
        >>> X = np.random.default_rng(0).normal(size=(4_000, 3))
        >>> detector = CalibratedDetector(IsolationForest(n_estimators=20, random_state=0)).fit(X[:2_000])
        >>> display = CalibrationCurveDisplay.from_estimator(detector, X[2_000:])
        >>> list(display.levels), display.n_calibration
        (['FalseAlarmRate'], 500)
        """
        calibration = getattr(detector, "calibration_", None)
        if not isinstance(calibration, Calibration):
            raise ParameterError(
                "A calibration curve needs a fitted CalibratedDetector, whose calibration rows give p-values. Got "
                f"{type(detector).__name__} instead: fit CalibratedDetector(detector, cv='prefit') on held-out rows, "
                "or give p-values to from_predictions."
            )
        one_for_all = groups is None or not calibration.segments
        return cls.from_predictions(
            detector.p_value(X, groups=groups),
            y,
            levels=_levels(calibration) if one_for_all else None,
            n_calibration=len(calibration.score) if one_for_all and calibration.weight is None else None,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        p_value: ArrayLike,
        y: ArrayLike | None = None,
        *,
        levels: Mapping[str, float] | None = None,
        n_calibration: int | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw p-values of held-out rows.

        Parameters
        ----------
        p_value : array of shape (n_rows,)
            In [0, 1], such as ``detector.p_value(X)``.
        y : array of shape (n_rows,), optional
            1 for an anomaly, 0 for a normal row. With labels the anomalies are left out; without, they stand above the
            diagonal on the left.
        levels : mapping of str to float, optional
            Names, and the p-values up to which rows alert, in (0, 1].
        n_calibration : int, optional
            Rows that the p-values were taken from: with it, the band allows for their number too.
        ax : matplotlib Axes, optional
            To draw on; those of a new figure by default.
        **kwargs
            For the curve, such as its `color`.

        Returns
        -------
        CalibrationCurveDisplay
            With the picture in `ax_`.

        Raises
        ------
        TableError
            There is no row that counts, a p-value is outside [0, 1], or a label is neither 0 nor 1.
        ParameterError
            A level is no number in (0, 1], or `n_calibration` is no positive integer.
        MissingExtraError
            matplotlib is not installed.
        """
        check_params("CalibrationCurveDisplay", {"n_calibration": n_calibration}, _COUNT)
        for name, level in (levels or {}).items():
            if not _SHARE.allows(level):
                raise ParameterError(f"A level must be {_SHARE}. Got {name!r}: {level!r} instead.")
        values = as_scores(p_value)
        if y is not None:
            labels, values = labelled_scores(y, values)
            values = values[~labels]
        if not len(values):
            rows = "row" if y is None else "row labelled 0 (normal)"
            raise TableError(f"Expected p-values of at least one {rows}, found none. Use rows of a longer time.")
        if not (values.min() >= 0 and values.max() <= 1):
            raise TableError(
                f"p-values must lie in [0, 1]: found {values.min():g} to {values.max():g}. Give detector.p_value(X)."
            )
        display = cls(
            p_value=np.sort(values), levels=dict(levels or {}), n_calibration=n_calibration, labelled=y is not None
        )
        return display.plot(ax, **kwargs)

    def share(self, level: float) -> float:
        """Share of the rows whose p-value is at most `level`."""
        return float(np.searchsorted(self.p_value, level, side="right") / len(self.p_value))

    def band(self, levels: Floats) -> tuple[Floats, Floats]:
        """Lower and upper share that 95 in 100 samples lie between, if the promise holds, at each level.

        Parameters
        ----------
        levels : float64 ndarray of shape (n_levels,)
            p-values, in (0, 1].

        Returns
        -------
        tuple of two float64 ndarrays of shape (n_levels,)
            Shares of the rows.
        """
        n, m = len(self.p_value), self.n_calibration
        tails = ((1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2)
        if m is None:
            low, high = (np.asarray(binom.ppf(tail, n, levels)) / n for tail in tails)
            return low, high
        k = np.floor(levels * (m + 1) * (1 + 1e-12))  # p-values come in steps of 1 / (m + 1)
        bounds = [_count_quantile(tail, n, np.clip(k, 1, m), m) / n for tail in tails]
        low, high = (np.where((k >= 1) & (k <= m), bound, k > m).astype(np.float64) for bound in bounds)
        return low, high

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw it again.

        Parameters
        ----------
        ax, **kwargs
            As in `from_predictions`.

        Returns
        -------
        CalibrationCurveDisplay
            Itself.
        """
        self.ax_ = ax = axes_for(ax)
        self.figure_ = ax.figure  # type: ignore[assignment]
        least, smallest = self._least(), 0.5 / len(self.p_value)
        levels = np.geomspace(least, 1, _N_LEVELS)
        low, high = self.band(levels)
        ax.set(xscale="log", yscale="log", xlabel="promised false-alarm rate (p-value)")
        labels = ["normal rows" if self.labelled else "rows", _PROMISED, f"{100 * _CONFIDENCE:.0f} % band"]
        ax.set_ylabel(f"observed share of the {labels[0]}")
        self.band_ = ax.fill_between(
            levels, np.maximum(low, smallest), np.maximum(high, smallest), color=PALE, linewidth=0, label=labels[2]
        )
        ax.plot(levels, levels, "--", color=GREY, linewidth=1.2, label=_PROMISED)
        style = {"label": labels[0], "color": BLUE, "linewidth": 1.8, "drawstyle": "steps-post", **kwargs}
        (self.line_,) = ax.plot(*self._curve(), **style)
        n_columns = n_legend_columns(ax, labels)
        head = headroom(ax, -(-len(labels) // n_columns))
        ax.set(xlim=(least, 1.2), ylim=(smallest, smallest * (1.2 / smallest) ** (1 / (1 - head))))
        for minor in (False, True):
            ticks = ax.yaxis.get_ticklocs(minor=minor)
            ax.set_yticks(ticks[(ticks >= smallest) & (ticks <= 1)], minor=minor)
        legend_on_top(ax, labels, n_columns)
        at = {name: (level, max(self.share(level), smallest)) for name, level in self.levels.items()}
        self.dots_ = name_points(ax, at, head)
        return self

    def _least(self) -> float:
        """The smallest p-value to show."""
        above = self.p_value[self.p_value > 0]
        possible = 1 / (len(self.p_value) if self.n_calibration is None else self.n_calibration + 1)
        return 0.8 * float(min(*above[:1].tolist(), *self.levels.values(), possible, 0.1))

    def _curve(self) -> tuple[Floats, Floats]:
        """Where the share rises; thinned where there are many places."""
        p, last = np.unique(self.p_value), len(self.p_value)
        if len(p) > _MOST_POINTS:
            p = np.unique(p[np.geomspace(1, len(p), _MOST_POINTS).astype(np.intp) - 1])
        return np.append(p, 1.0), np.append(np.searchsorted(self.p_value, p, side="right"), last) / last


def _count_quantile(tail: float, n: int, k: Floats, m: int) -> Floats:
    """Quantile of how many of n rows score above the k-th highest of m calibration rows that are like them.

    The count is beta-binomial, or negative hypergeometric: at most c rows are above where at least k of the c + k
    highest of all rows are calibration rows. SciPy is quick at that, and takes minutes for quantiles of the former.

    Examples
    --------
    >>> from scipy.stats import betabinom
    >>> k = np.array([1.0, 5.0, 20.0])
    >>> bool((_count_quantile(0.975, 300, k, 200) == betabinom.ppf(0.975, 300, k, 201 - k)).all())
    True
    """
    low, high = np.zeros(len(k)), np.full(len(k), float(n))
    while (low < high).any():
        middle = (low + high) // 2
        enough = hypergeom.sf(k - 1, n + m, m, middle + k) >= tail
        low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
    return low


def _levels(calibration: Calibration) -> dict[str, float]:
    """The p-value of the first score above the threshold, under the name of the rule."""
    if calibration.threshold is None:
        return {}
    first = np.nextafter(calibration.threshold, np.inf)
    return {type(calibration.rule).__name__: float(calibration.p_value([first])[0])}
