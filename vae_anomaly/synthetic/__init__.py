"""How good synthetic rows are: like real ones, as useful, and nobody's own."""

from __future__ import annotations

from vae_anomaly.synthetic.closeness import Privacy
from vae_anomaly.synthetic.quality import SyntheticQuality, synthetic_quality
from vae_anomaly.synthetic.telling import Detection, Usefulness

__all__ = ["Detection", "Privacy", "SyntheticQuality", "Usefulness", "synthetic_quality"]
