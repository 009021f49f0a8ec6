"""From scores to decisions. NumPy and scikit-learn only, never torch."""
