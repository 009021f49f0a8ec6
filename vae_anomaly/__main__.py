"""``python -m vae_anomaly`` is the command line."""

from vae_anomaly.cli.main import run

if __name__ == "__main__":
    run()
