"""Checks tensor shapes while testing, and runs property tests without a clock."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("tests", deadline=None, derandomize=True)  # slow machines and reruns change no verdict
settings.load_profile("tests")


@pytest.fixture
def one_thread():
    """Small products are slow on several cores, and very slow on busy ones."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
