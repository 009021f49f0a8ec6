"""From scores to decisions. NumPy, SciPy and scikit-learn only, never torch."""
