"""Frames to arrays and back. Knows dataframes and NumPy, never torch."""
