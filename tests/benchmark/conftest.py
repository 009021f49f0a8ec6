"""Small files in the form of the published ones."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def write_card_payments():
    """A function that writes simulated payments where the suites look for sparkov's, and gives their path."""

    def write(folder, n_rows=3_000, fraud_share=0.05):
        rng = np.random.default_rng(2)
        seconds = np.sort(rng.integers(184 * 86_400, size=n_rows))
        y = (rng.random(n_rows) < fraud_share).astype(int)
        rows = pd.DataFrame(
            {
                "trans_datetime": (pd.Timestamp("2019-05-01") + pd.to_timedelta(seconds, unit="s")).strftime("%F %T"),
                "cc_num": rng.integers(4_000_000_000_000, 4_000_000_000_050, n_rows),
                "category": rng.choice(["travel", "food", "fuel"], n_rows),
                "amt": rng.exponential(50, n_rows) + 300 * y,
                "is_fraud": y,
            }
        )
        (folder / "sparkov").mkdir()
        rows.to_csv(path := folder / "sparkov" / "card_transactions_2019-05_2019-10.csv.gz", index=False)
        return path

    return write
