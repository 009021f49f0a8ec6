"""The command line ``vae-anomaly``: commands parse, call what lies below, and print."""
