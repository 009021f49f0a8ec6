"""Write the golden model file of the current format, its rows and its scores."""

from pathlib import Path

from vae_anomaly import VAEDetector, make_transactions
from vae_anomaly.artifact import FORMAT

HERE = Path(__file__).parent


def main() -> None:
    rows = make_transactions(400, n_merchants=625, random_state=0)
    rows = rows[
        ["timestamp", "amount", "channel", "country", "device", "is_foreign", "account_age_days", "distance_km"]
    ]
    detector = VAEDetector(n_members=2, hidden=(16,), latent=3, max_steps=150, max_epochs=None).fit(rows)
    sample = rows.iloc[:60].assign(anomaly_score=detector.anomaly_score(rows.iloc[:60]))
    sample.to_csv(HERE / f"format-{FORMAT}.csv", index=False)
    detector.save(HERE / f"format-{FORMAT}.vaea")


if __name__ == "__main__":
    main()
