"""The public surface: sorted, importable, documented."""

from __future__ import annotations

import inspect

import pytest

import vae_anomaly


def test_names_are_sorted_and_unique():
    assert list(vae_anomaly.__all__) == sorted(set(vae_anomaly.__all__))


@pytest.mark.parametrize("name", vae_anomaly.__all__)
def test_every_name_is_there_and_documented(name):
    value = getattr(vae_anomaly, name)
    assert name in dir(vae_anomaly)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__module__.startswith("vae_anomaly.")
        assert value.__doc__


def test_other_names_are_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'VaeDetector'"):
        _ = vae_anomaly.VaeDetector
