"""The choice of device and precision, with the hardware's answers given."""

import pytest
import torch

from vae_anomaly.errors import ParameterError
from vae_anomaly.training.device import Probe, choose_device, exact_products, fits, training_dtype


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu"), (True, False, "cuda")],
)
def test_auto_takes_the_fastest_device_there_is(cuda, mps, expected):
    assert choose_device("auto", Probe(cuda=lambda: cuda, mps=lambda: mps)).type == expected


def test_a_device_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ParameterError, match=r"'cuda:1'.*Found: mps, cpu"):
        choose_device("cuda:1", Probe(cuda=lambda: False, mps=lambda: True))


def test_a_word_that_is_no_device_is_refused():
    with pytest.raises(ParameterError, match="Got 'gpu please'"):
        choose_device("gpu please")


@pytest.mark.parametrize("name", ["meta", "xpu"])
def test_a_device_that_the_model_never_runs_on_is_refused(name):
    with pytest.raises(ParameterError, match=rf"'{name}'.*Found: cpu"):
        choose_device(name, Probe(cuda=lambda: False, mps=lambda: False))


def test_a_named_device_is_taken():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("cuda:1", Probe(cuda=lambda: True)) == torch.device("cuda:1")


@pytest.mark.parametrize(("free", "expected"), [(None, True), (200, True), (199, False)])
def test_a_table_is_resident_while_it_takes_half_of_the_free_memory(free, expected):
    assert fits(100, torch.device("cuda"), Probe(free_memory=lambda device: free)) is expected


def test_bfloat16_is_taken_where_it_pays_or_where_it_is_asked_for():
    gpu, there, absent = torch.device("cuda"), Probe(bf16=lambda d: True), Probe(bf16=lambda d: False)
    assert training_dtype("auto", gpu, 1024, there) == torch.bfloat16
    assert training_dtype("auto", gpu, 128, there) == torch.float32
    assert training_dtype("auto", gpu, 1024, absent) == torch.float32
    assert training_dtype("bfloat16", gpu, 8, absent) == torch.bfloat16
    assert training_dtype("float32", gpu, 1024, there) == torch.float32
    assert training_dtype("auto", torch.device("cpu"), 1024) == torch.float32


def test_exact_products_are_given_back():
    before = torch.get_float32_matmul_precision()
    with exact_products():
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.get_float32_matmul_precision() == before


def test_exact_products_last_as_long_as_any_thread_needs_them():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        first, second = exact_products(), exact_products()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert torch.get_float32_matmul_precision() == "highest"
        second.__exit__(None, None, None)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
