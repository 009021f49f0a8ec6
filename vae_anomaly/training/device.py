"""Where the numbers are computed: choice of device and precision, and how much fits.

All that depends on the hardware stands here, so that the rest can be tested on a CPU.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from vae_anomaly.errors import ParameterError
from vae_anomaly.model.threads import at_most

RESIDENT_SHARE = 0.5
"""Share of a device's free memory that the encoded table may take before it is streamed instead."""

BF16_WIDTH = 512
"""Hidden width from which bfloat16 products save more time on a GPU than the casts around them cost."""

THREAD_WIDTH = 256
"""Hidden width that keeps one CPU core busy enough for another one to help."""


def _free_memory(device: torch.device) -> int | None:
    """Bytes free on a GPU; None where the table shares the host's memory and nothing is gained by streaming."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def _bf16_units(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8


@dataclass(frozen=True)
class Probe:
    """Questions to the hardware; a test asks its own."""

    cuda: Callable[[], bool] = torch.cuda.is_available
    mps: Callable[[], bool] = torch.backends.mps.is_available
    free_memory: Callable[[torch.device], int | None] = _free_memory
    bf16: Callable[[torch.device], bool] = _bf16_units


def choose_device(requested: str, probe: Probe | None = None) -> torch.device:
    """The device to use: what was asked for, or the fastest there is (CUDA, then MPS, then the CPU).

    Parameters
    ----------
    requested : str
        "auto", or a device string of torch such as "cpu" or "cuda:1".
    probe : Probe, optional
        How to ask the hardware.

    Raises
    ------
    ParameterError
        If the string is no device, or the device is not there.

    Examples
    --------
    >>> choose_device("auto", Probe(cuda=lambda: False, mps=lambda: True))
    device(type='mps')
    """
    probe = probe or Probe()
    available: dict[str, Callable[[], bool]] = {"cuda": probe.cuda, "mps": probe.mps, "cpu": lambda: True}
    if requested == "auto":
        return torch.device(next(name for name, there in available.items() if there()))
    try:
        device = torch.device(requested)
    except RuntimeError as error:
        raise ParameterError(
            f"The 'device' parameter must be 'auto' or a device of torch such as 'cpu', 'cuda', 'cuda:0' or 'mps'. "
            f"Got {requested!r} instead."
        ) from error
    if device.type not in available or not available[device.type]():
        there = [name for name, is_there in available.items() if is_there()]
        raise ParameterError(
            f"The 'device' parameter asks for {requested!r}, which torch does not find on this machine. "
            f"Found: {', '.join(there)}. Use device='auto' to take the best one that is there."
        )
    return device


def fits(n_bytes: int, device: torch.device, probe: Probe | None = None) -> bool:
    """Whether a table of `n_bytes` may live on the device for the whole of training."""
    free = (probe or Probe()).free_memory(device)
    return free is None or n_bytes <= RESIDENT_SHARE * free


def training_dtype(requested: str, device: torch.device, width: int, probe: Probe | None = None) -> torch.dtype:
    """Precision of the matrix products while training: bfloat16 only where it pays, or where it was asked for."""
    if requested != "auto":
        return torch.bfloat16 if requested == "bfloat16" else torch.float32
    pays = width >= BF16_WIDTH and (probe or Probe()).bf16(device)
    return torch.bfloat16 if pays else torch.float32


@contextmanager
def few_threads(device: torch.device, width: int) -> Iterator[None]:
    """Train narrow networks on one core.

    Their products take less time than it takes several cores to meet, and on a busy machine cores that wait for each
    other make training slower by an order of magnitude. A wider one gets a core for every `THREAD_WIDTH` of its width.
    """
    usual = torch.get_num_threads()
    n_threads = max(1, min(usual, width // THREAD_WIDTH)) if device.type == "cpu" else usual
    with at_most(n_threads):
        yield


_exact = threading.Lock()
_exact_holders: list[str] = []


@contextmanager
def exact_products() -> Iterator[None]:
    """Full float32 matrix products (no TF32), so that scores agree between devices.

    The setting is one for all threads: the last that needs it puts back what the first found.
    """
    with _exact:
        _exact_holders.append(_exact_holders[0] if _exact_holders else torch.get_float32_matmul_precision())
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        with _exact:
            before = _exact_holders.pop()
            if not _exact_holders:
                torch.set_float32_matmul_precision(before)
