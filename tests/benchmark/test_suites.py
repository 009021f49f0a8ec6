"""Protocols by name: which data are theirs, how these are read, who takes part."""

from __future__ import annotations

import numpy as np
import pytest

from vae_anomaly.benchmark.detectors import DETECTORS, OURS
from vae_anomaly.benchmark.encodings import ENCODINGS
from vae_anomaly.benchmark.number_suites import read_adbench, read_creditcard
from vae_anomaly.benchmark.quality import contestants, entering
from vae_anomaly.benchmark.suites import CHECKING, QUICK, SUITES, TUNING, chosen_sets
from vae_anomaly.errors import TableError, VaeAnomalyError


def test_what_is_tuned_on_is_not_checked_on():
    assert not set(TUNING) & set(CHECKING)
    assert set(QUICK) <= set(TUNING)


@pytest.mark.parametrize("name", SUITES)
def test_everybody_takes_part_with_each_encoding_but_those_that_are_left_out(name):
    suite = SUITES[name]
    entered = entering(contestants(DETECTORS, [{"beta": 1.0}]), suite)
    n_peers = len(DETECTORS) - 1
    assert (
        len({one.name for one in entered}) == len(entered) == 2 + n_peers * len(suite.encodings) - len(suite.too_slow)
    )
    assert {one.encoding for one in entered if one.detector == OURS} == {None}
    assert {one.encoding for one in entered if one.detector == "kNN"} == set(suite.encodings) <= set(ENCODINGS)


@pytest.fixture
def data_dir(tmp_path):
    (tmp_path / "adbench").mkdir()
    for name in ("45_wine", "6_cardio"):
        np.savez(tmp_path / "adbench" / f"{name}.npz", X=np.arange(20.0).reshape(10, 2), y=[0] * 8 + [1] * 2)
    return tmp_path


def test_what_is_there_is_found_by_name_or_group(data_dir, capsys):
    everything = chosen_sets(SUITES, data_dir, None)
    assert [(suite, name) for suite, name, _ in everything] == [
        (suite, name) for suite in ("normal50", "contaminated") for name in ("cardio", "wine")
    ]
    skipped = capsys.readouterr().err
    assert all(f"skipped {name}: " in skipped for name in SUITES if name not in ("normal50", "contaminated"))
    assert [name for _, name, _ in chosen_sets(["normal50"], data_dir, ["wine"])] == ["wine"]
    with pytest.raises(VaeAnomalyError, match=r"expected iris in .*, found cardio, wine"):
        chosen_sets(["normal50"], data_dir, ["iris"])
    with pytest.raises(VaeAnomalyError, match="found none"):
        chosen_sets(["creditcard-normal"], data_dir, None)


def test_files_are_read_as_they_are(data_dir):
    data = read_adbench(data_dir / "adbench" / "45_wine.npz")
    assert data.X.tolist() == np.arange(20.0).reshape(10, 2).tolist()
    assert data.y.tolist() == [0] * 8 + [1] * 2
    np.savez(data_dir / "odd.npz", X=np.zeros((3, 2)))
    with pytest.raises(TableError, match=r"expected arrays X and y, found \['X'\]"):
        read_adbench(data_dir / "odd.npz")
    np.savez(data_dir / "one.npz", X=np.zeros((3, 2)), y=np.zeros(3))
    with pytest.raises(TableError, match="expected a label"):
        read_adbench(data_dir / "one.npz")


def test_payments_leave_their_label_behind(tmp_path):
    path = tmp_path / "payments.csv"
    path.write_text("V1,Class\n0.5,0\n2.5,1\n")
    data = read_creditcard(path)
    assert data.X.tolist() == [[0.5], [2.5]]
    assert data.y.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("suite", "text", "absent"),
    [("claims-normal", "Make,FraudFound_P\nMazda,0\n", "PolicyNumber"), ("kdd99-normal", "0,tcp\n", "column_42")],
)
def test_a_file_without_its_columns_is_refused(tmp_path, suite, text, absent):
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(TableError, match=rf"expected columns \['{absent}'\], found only"):
        SUITES[suite].read(tmp_path / "rows.csv")


def test_mixed_files_keep_their_text_and_lose_label_and_number(tmp_path):
    (tmp_path / "claims.csv").write_text("Make,Age,FraudFound_P,PolicyNumber\nMazda,30,0,1\nHonda,41,1,2\n")
    data = SUITES["claims-contaminated"].read(tmp_path / "claims.csv")
    assert data.X.to_dict("list") == {"Make": ["Mazda", "Honda"], "Age": [30, 41]}
    assert data.y.tolist() == [0, 1]
