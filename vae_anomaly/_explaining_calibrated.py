"""What a calibrated detector says of its alerts, where the detector in it can say anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import _num_samples, check_is_fitted

from vae_anomaly._wishes import in_memory
from vae_anomaly.decision.calibration import BatchRule, Calibration
from vae_anomaly.errors import ParameterError

if TYPE_CHECKING:
    from vae_anomaly.detector import VAEDetector


class ExplainedByEstimator:
    """The explanations of a `CalibratedDetector`: those of its detector, by its own thresholds."""

    estimator_: Any
    calibration_: Calibration

    def explain(self, X: Any, n_reasons: int | None = 5, *, conditional: bool = True) -> pd.DataFrame:
        """Say why rows score as they do; see `VAEDetector.explain`.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the columns of `fit`, such as those that alert.
        n_reasons : int or None, default=5
            Most reasons of a row; None gives all, and the terms of the score that belong to no column.
        conditional : bool, default=True
            Judge each cell given the others of its row alone.

        Returns
        -------
        reasons : DataFrame
            A line for each row and reason, the most unusual first.

        Raises
        ------
        ParameterError
            The detector is no `VAEDetector`: its scores are no sum over columns.

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import CalibratedDetector, VAEDetector
        >>> X = np.random.default_rng(0).normal(size=(2_000, 1)) * [1, 2, 3]
        >>> detector = CalibratedDetector(VAEDetector(n_members=1, max_steps=100)).fit(X)
        >>> detector.explain(np.array([[0.0, 30.0, 0.0]]), 1)[["column", "observed", "direction"]]
          column observed direction
        0     x1     30.0  too high
        """
        reasons: pd.DataFrame = self._explaining("explain").explain(X, n_reasons, conditional=conditional)
        return reasons

    def nearest_normal(
        self, X: Any, *, groups: Any = None, fixed: Sequence[str] = (), return_rows: bool = False
    ) -> Any:
        """Say what is the least to change in rows that alert for them not to; see `VAEDetector.nearest_normal`.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the columns of `fit`.
        groups : array-like of shape (n_samples,), optional
            Segment of each row, as in `predict`; a row is brought below the threshold of its segment.
        fixed : sequence of str, default=()
            Columns that are not to be changed.
        return_rows : bool, default=False
            Return the changed rows as well.

        Returns
        -------
        changes : DataFrame
            A line for each row that alerts and column to change, what matters most first.
        rows : table of the kind of `X`
            Only with ``return_rows=True``: all rows of `X`, with the changes made. None of them alerts, with the same
            `groups`, but those that a warning names.

        Raises
        ------
        ParameterError
            The detector is no `VAEDetector`, or the rule has no threshold, as it decides by the batch.

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import CalibratedDetector, VAEDetector
        >>> X = np.random.default_rng(0).normal(size=(2_000, 1)) * [1, 2, 3]
        >>> detector = CalibratedDetector(VAEDetector(n_members=1, max_steps=100)).fit(X)
        >>> changes, normal = detector.nearest_normal(np.array([[0.0, 30.0, 0.0]]), return_rows=True)
        >>> changes["column"].tolist(), detector.predict(normal)
        (['x1'], array([1]))
        """
        detector = self._explaining("nearest_normal")
        rule = self.calibration_.rule
        if isinstance(rule, BatchRule):
            raise ParameterError(
                f"CalibratedDetector.nearest_normal needs a threshold to stay below. Got {rule!r} instead, by which "
                "rows alert or not as the batch that they come in has it. Recalibrate with a rule that sets a "
                "threshold, such as FalseAlarmRate(0.01), or give one: estimator_.nearest_normal(X, threshold=...)."
            )
        X = in_memory(X)
        scores = detector.anomaly_score(X) if _num_samples(X) else np.zeros(0)
        thresholds = self.calibration_.thresholds(scores, groups)
        return detector.nearest_normal(X, fixed=fixed, threshold=thresholds, return_rows=return_rows)

    def _explaining(self, method: str) -> VAEDetector:
        """The detector, if it is one that can explain."""
        check_is_fitted(self)
        from vae_anomaly.detector import VAEDetector  # torch is for those who use it

        frozen = isinstance(self.estimator_, FrozenEstimator)
        estimator = self.estimator_.estimator if frozen else self.estimator_
        if not isinstance(estimator, VAEDetector):
            raise ParameterError(
                f"CalibratedDetector.{method} takes a VAEDetector, whose score is a sum over columns. Got "
                f"{type(estimator).__name__} instead, which has no '{method}'. Calibrate a VAEDetector; of a pipeline "
                f"that ends in one, call '{method}' of its last step on the rows that this step gets."
            )
        return estimator
