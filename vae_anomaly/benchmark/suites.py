"""All protocols of the quality benchmark, by name, and which data sets of theirs are there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from vae_anomaly.benchmark.frame_suites import FRAME_SUITES
from vae_anomaly.benchmark.number_suites import NUMBER_SUITES
from vae_anomaly.benchmark.payment_suites import PAYMENT_SUITES
from vae_anomaly.benchmark.protocol import Suite
from vae_anomaly.benchmark.table import say
from vae_anomaly.errors import VaeAnomalyError

SUITES: dict[str, Suite] = {**NUMBER_SUITES, **PAYMENT_SUITES, **FRAME_SUITES}

TUNING = (
    *("annthyroid", "cardio", "fault", "Ionosphere", "letter", "mammography", "PageBlocks"),
    *("pendigits", "Pima", "satellite", "SpamBase", "vowels", "Wilt", "yeast"),
)
CHECKING = ("campaign", "optdigits", "shuttle", "Stamps", "Waveform", "wine")
QUICK = ("cardio", "Ionosphere", "Pima", "vowels", "yeast")
GROUPS = {"tuning": TUNING, "checking": CHECKING, "quick": QUICK}
"""What may be looked at while the defaults are chosen, what may not, and a small part of the former."""


def chosen_sets(suites: Iterable[str], data_dir: Path, names: Sequence[str] | None) -> list[tuple[str, str, Path]]:
    """Suite, data set and file of what is there; a suite without any is named and skipped.

    Parameters
    ----------
    suites : iterable of str
        Keys of `SUITES`.
    data_dir : Path
        Where the data are.
    names : sequence of str or None
        Data sets, or keys of `GROUPS`; None takes all.

    Raises
    ------
    VaeAnomalyError
        If a name is of no data set there, or none is left.
    """
    wanted = [one for name in names or () for one in GROUPS.get(name, (name,))]
    found = {suite: SUITES[suite].paths(data_dir) for suite in suites}
    known = {name for sets in found.values() for name in sets}
    absent = [name for name in wanted if name not in known]
    if absent or not known:
        raise VaeAnomalyError(
            f"--data-dir: expected {', '.join(absent) or 'data sets'} in {data_dir}, found"
            f" {', '.join(sorted(known, key=str.lower)) or 'none'}. Its layout is in vae_anomaly/benchmark/README.md."
        )
    chosen = []
    for suite, sets in found.items():
        taken = [name for name in sets if names is None or name in wanted]
        if not taken:
            say(f"skipped {suite}: expected its data in {data_dir}, found none of what was asked for.")
        chosen += [(suite, name, sets[name]) for name in taken]
    return chosen
