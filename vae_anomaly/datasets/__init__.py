"""Transactions to try things on: a seeded simulator, a bundled file, and loaders for labelled data."""

from vae_anomaly.datasets.bundled import load_transactions
from vae_anomaly.datasets.loaders import fetch_creditcard, read_labelled
from vae_anomaly.datasets.simulator import make_transactions

__all__ = ["fetch_creditcard", "load_transactions", "make_transactions", "read_labelled"]
