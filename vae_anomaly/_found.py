"""What a calibrated detector tells of its thresholds."""

from __future__ import annotations

from vae_anomaly.decision.calibration import Calibration, ThresholdRule
from vae_anomaly.decision.guarantee import Guarantee


class FoundByCalibration:
    """The fitted attributes of `CalibratedDetector` that its calibration has."""

    calibration_: Calibration

    @property
    def rule_(self) -> ThresholdRule:
        """The rule in use."""
        return self.calibration_.rule

    @property
    def report_(self) -> Guarantee:
        """What is guaranteed, and what is assumed."""
        return self.calibration_.guarantee

    @property
    def threshold_(self) -> float:
        """Anomaly score above which a row alerts that is scored without its segment."""
        return self._of(self.calibration_, "'threshold_' or 'offset_'")

    @property
    def offset_(self) -> float:
        """The threshold in the direction of `score_samples`."""
        return -self.threshold_

    @property
    def segment_thresholds_(self) -> dict[str, float | None]:
        """Threshold of each segment that has one of its own."""
        return {name: part.threshold for name, part in self.calibration_.segments.items()}

    @property
    def rest_threshold_(self) -> float:
        """Threshold of the segments that have none of their own."""
        return self._of(self.calibration_.of_rest, "'rest_threshold_'")

    @staticmethod
    def _of(calibration: Calibration, names: str) -> float:
        if calibration.threshold is None:
            raise AttributeError(f"{calibration.rule!r} has no {names}: it decides by the batch of rows.")
        return calibration.threshold
