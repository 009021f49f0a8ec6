"""Reading labelled tables, without a network."""

from __future__ import annotations

from urllib.error import URLError

import pandas as pd
import pytest
import sklearn.datasets
from pandas.testing import assert_frame_equal
from sklearn.utils import Bunch

from vae_anomaly.datasets import fetch_creditcard, read_labelled
from vae_anomaly.errors import FileFormatError, TableError, VaeAnomalyError


@pytest.fixture
def claims() -> pd.DataFrame:
    return pd.DataFrame({"amount": [12.5, 990.0, 14.0], "flag": [0, 1, 0], "verdict": ["ok", "fraud", "unsure"]})


class TestReadLabelled:
    @pytest.mark.parametrize("name", ["claims.csv", "CLAIMS.CSV", "claims.csv.gz", "claims.parquet"])
    def test_table_and_target_come_apart(self, claims, tmp_path, name):
        path = tmp_path / name
        claims.to_parquet(path) if name.endswith("parquet") else claims.to_csv(path, index=False)
        data, target = read_labelled(str(path), "flag")
        assert_frame_equal(data, claims[["amount", "verdict"]])
        assert target.tolist() == [0, 1, 0]
        assert read_labelled(path, "verdict", positive="fraud")[1].tolist() == [0, 1, 0]

    def test_booleans_need_no_positive(self, claims, tmp_path):
        claims.assign(flag=claims["flag"] == 1).to_csv(tmp_path / "claims.csv", index=False)
        assert read_labelled(tmp_path / "claims.csv", "flag")[1].tolist() == [0, 1, 0]

    @pytest.mark.parametrize(
        ("label", "positive", "said"),
        [
            ("fraud", None, "label column 'fraud' .* found the columns 'amount', 'flag', 'verdict'"),
            ("verdict", None, "labels 0 and 1 in 'verdict' .* found 'ok', 'fraud', 'unsure'. Say which .* positive="),
            ("verdict", "Fraud", "both normal rows and anomalies .* only 'ok', 'fraud', 'unsure' .* is 'Fraud'"),
        ],
    )
    def test_a_label_that_cannot_be_used(self, claims, tmp_path, label, positive, said):
        claims.to_csv(tmp_path / "claims.csv", index=False)
        with pytest.raises(TableError, match=said):
            read_labelled(tmp_path / "claims.csv", label, positive=positive)

    def test_one_class_only(self, claims, tmp_path):
        claims.assign(flag=0).to_csv(tmp_path / "claims.csv", index=False)
        with pytest.raises(TableError, match=r"found only 0\. Name another"):
            read_labelled(tmp_path / "claims.csv", "flag")

    def test_missing_labels(self, claims, tmp_path):
        claims.assign(flag=[0, None, 1]).to_csv(tmp_path / "claims.csv", index=False)
        with pytest.raises(TableError, match="1 of 3 are missing in 'flag'"):
            read_labelled(tmp_path / "claims.csv", "flag")

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("claims.xlsx", b"", r"ends in .csv or .csv.gz or .parquet, but found 'claims.xlsx'"),
            ("claims.csv", b"", "readable .csv file"),
            ("claims.csv", b"a,b\n1,2\n1,2,3\n", "readable .csv file"),
            ("claims.csv", b"a,b\n\xff\xfe,1\n", "readable .csv file"),
            ("claims.csv.gz", b"a,b\n1,2\n", "readable .csv.gz file"),
            ("claims.parquet", b"PAR1 but no more", "readable .parquet file"),
        ],
    )
    def test_a_file_that_cannot_be_read(self, tmp_path, name, content, said):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileFormatError, match=said):
            read_labelled(tmp_path / name, "b")

    def test_a_file_that_does_not_exist(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"absent\.csv"):
            read_labelled(tmp_path / "absent.csv", "b")


class TestFetchCreditcard:
    def test_the_table_of_openml_comes_as_numbers_and_flags(self, monkeypatch, tmp_path):
        table = pd.DataFrame({"V1": [0.1, -1.0, 2.0], "Amount": [1.0, 2.0, 3.0]})
        asked = {}

        def fetch(name, **options):
            asked.update(options, name=name)
            return Bunch(data=table, target=pd.Series(["0", "1", "0"], name="Class", dtype="category"))

        monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
        data, target = fetch_creditcard(data_home=tmp_path)
        assert_frame_equal(data, table)
        assert target.tolist() == [0, 1, 0]
        assert asked == {
            "name": "creditcard", "version": 1, "as_frame": True, "parser": "auto", "data_home": str(tmp_path),
        }  # fmt: skip

    def test_offline_says_what_to_do(self, monkeypatch):
        def fetch(*_, **__):
            raise URLError("no route to host")

        monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
        with pytest.raises(VaeAnomalyError, match=r"no route to host.*read_labelled\(path, label='Class'\)"):
            fetch_creditcard()
