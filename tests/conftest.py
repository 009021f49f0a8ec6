"""Checks tensor shapes while testing, and runs property tests without a clock."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("tests", deadline=None, derandomize=True)  # slow machines and reruns change no verdict
settings.load_profile("tests")
