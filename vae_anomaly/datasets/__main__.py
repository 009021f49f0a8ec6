"""Regenerate the bundled transaction file: ``python -m vae_anomaly.datasets [PATH]``."""

from __future__ import annotations

import argparse
from pathlib import Path

from vae_anomaly.datasets.bundled import BUNDLED_FILE, write_bundled


def main() -> None:
    """Write the bundled payments, over the old file."""
    parser = argparse.ArgumentParser(prog="python -m vae_anomaly.datasets", description=main.__doc__)
    parser.add_argument("path", nargs="?", type=Path, default=BUNDLED_FILE, help="default: data/transactions.csv")
    path: Path = parser.parse_args().path
    write_bundled(path)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
