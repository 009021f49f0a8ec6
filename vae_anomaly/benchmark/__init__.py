"""Measurements beside peers: ``python -m vae_anomaly.benchmark --help``. README.md says how each figure is taken."""
