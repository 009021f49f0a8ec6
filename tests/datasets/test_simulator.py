"""What the simulator promises: reproducible, well-formed, and as hard as it says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from vae_anomaly.datasets import make_transactions
from vae_anomaly.datasets.catalogue import CURRENCY_OF_COUNTRY, LAUNCH, UNITS_PER_EURO
from vae_anomaly.datasets.typologies import TYPOLOGIES
from vae_anomaly.errors import ParameterError

TEXT = ["category", "currency", "country", "city", "channel", "authentication", "device", "age_band"]
REMOTE = ["online", "in_app", "phone_order"]


@pytest.fixture(scope="module")
def payments() -> pd.DataFrame:
    return make_transactions(60_000, random_state=0)


def of_typology(payments: pd.DataFrame, name: str) -> pd.DataFrame:
    return payments[payments["typology"] == name]


def in_euros(payments: pd.DataFrame) -> pd.Series:
    return payments["amount"] / payments["currency"].map(UNITS_PER_EURO)


class TestForm:
    def test_same_seed_same_frame_and_another_seed_another(self):
        first, again, other = (make_transactions(2_000, random_state=seed) for seed in (3, 3, 4))
        assert_frame_equal(first, again)
        assert not first["amount"].equals(other["amount"])

    def test_a_generator_is_drawn_from_and_no_global_state_is_touched(self):
        before = np.random.get_state()[1].copy()  # noqa: NPY002 - the law is about the legacy state
        assert_frame_equal(
            make_transactions(500, random_state=np.random.default_rng(3)), make_transactions(500, random_state=3)
        )
        np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002

    def test_sorted_by_time_within_the_period(self, payments):
        assert payments["timestamp"].is_monotonic_increasing
        assert payments["timestamp"].iloc[0] >= pd.Timestamp("2025-01-06")
        assert payments["timestamp"].iloc[-1] < pd.Timestamp("2025-01-06") + pd.Timedelta(days=90)

    def test_ordinary_dtypes_unique_ids_and_cents(self, payments):
        kinds = {
            name: "O" if pd.api.types.is_string_dtype(dtype) else dtype.kind for name, dtype in payments.dtypes.items()
        }
        other = {"timestamp": "M", "amount": "f", "account_age_days": "i", "distance_km": "f"}
        assert kinds == dict.fromkeys(payments, "O") | other | {"is_foreign": "b", "is_fraud": "i"}
        assert payments["transaction_id"].is_unique
        assert (payments["amount"] > 0).all()
        np.testing.assert_array_equal(payments["amount"], payments["amount"].round(2))

    def test_currency_follows_the_country(self, payments):
        expected = payments["country"].map(CURRENCY_OF_COUNTRY).fillna("EUR")
        assert (payments["currency"] == expected).all()

    @pytest.mark.parametrize(("n_rows", "rate"), [(100, 0.5), (100, 0.0), (777, 0.013), (5_000, 0.3)])
    def test_exact_number_of_rows_and_frauds(self, n_rows, rate):
        frame = make_transactions(n_rows, fraud_rate=rate, n_days=5)
        assert len(frame) == n_rows
        assert frame["is_fraud"].sum() == round(n_rows * rate)
        assert ((frame["typology"] != "") == (frame["is_fraud"] == 1)).all()

    def test_frauds_are_shared_out_as_asked(self, payments):
        counts = of_typology(payments, "").shape[0], *payments["typology"].value_counts().reindex(list(TYPOLOGIES))
        assert counts == (59_700, 75, 60, 60, 45, 30, 30)
        shares = {"card_testing": 1, "account_takeover": 3}
        some = make_transactions(1_000, fraud_rate=0.04, typology_shares=shares)["typology"].value_counts()
        assert some.to_dict() == {"": 960, "account_takeover": 30, "card_testing": 10}


class TestGaps:
    def test_structural_gaps_are_exactly_where_nothing_exists(self):
        frame = make_transactions(5_000, missing_rate=0.0, random_state=1)
        assert (frame["terminal_id"].isna() == frame["channel"].isin(REMOTE)).all()
        has_device = frame["channel"].isin(["wallet", "qr_code", "online", "in_app"])
        assert (frame["device"].notna() == has_device).all()
        assert frame.loc[~frame["channel"].isin(REMOTE), "distance_km"].notna().all()
        assert frame[["city", "authentication", "age_band"]].notna().all(axis=None)

    def test_random_gaps_have_the_asked_rate(self):
        frame = make_transactions(20_000, missing_rate=0.1, random_state=1)
        lost = frame[["city", "authentication", "age_band"]].isna().mean()
        np.testing.assert_allclose(lost, 0.1, atol=0.01)  # five standard deviations

    @pytest.mark.parametrize(
        ("column", "name"), [("category", "ev_charging"), ("channel", "qr_code"), ("device", "smart_watch")]
    )
    def test_late_things_appear_late(self, payments, column, name):
        share = (payments["timestamp"] - pd.Timestamp("2025-01-06")) / pd.Timedelta(days=90)
        first = share[payments[column] == name].min()
        assert LAUNCH[name] <= first < LAUNCH[name] + 0.05


def uncovered(payments: pd.DataFrame, until: pd.Series, n_terminals: int = 4) -> int:
    """How many customers paid at none of the few terminals that most of them have in common, until a time for each."""
    genuine = of_typology(payments, "").dropna(subset="terminal_id")
    earlier = genuine[genuine["timestamp"] < genuine["customer_id"].map(until)]
    for _ in range(n_terminals):
        visitors = earlier.groupby("terminal_id")["customer_id"].nunique()
        covered = earlier.loc[earlier["terminal_id"] == visitors.idxmax(), "customer_id"]
        until = until.drop(covered.unique())
        earlier = earlier[earlier["customer_id"].isin(until.index)]
        if until.empty:
            break
    return len(until)


class TestTypologies:
    """Each typology shows the sign that gives it its name."""

    def test_card_testing_is_many_small_payments_within_minutes(self, payments):
        runs = of_typology(payments, "card_testing").groupby("customer_id")
        assert in_euros(of_typology(payments, "card_testing")).quantile(0.95) < 10
        assert runs.size().median() >= 5
        assert runs["timestamp"].agg(np.ptp).median() < pd.Timedelta(minutes=30)

    def test_stolen_card_burst_is_quick_and_knows_no_pin(self, payments):
        burst = of_typology(payments, "stolen_card_burst")
        assert set(burst["authentication"].dropna()) == {"unverified", "signature"}
        assert burst.groupby("customer_id")["timestamp"].agg(np.ptp).median() < pd.Timedelta(hours=2)

    def test_account_takeover_uses_a_strange_device(self, payments):
        genuine = of_typology(payments, "").dropna(subset="device")
        usual = genuine.groupby("customer_id")["device"].agg(lambda devices: devices.value_counts().index[0])
        taken = of_typology(payments, "account_takeover").dropna(subset="device")
        assert (taken["device"] != taken["customer_id"].map(usual)).all()
        assert (taken["timestamp"].dt.hour.between(0, 5)).mean() > 0.6

    def test_compromised_cards_were_seen_earlier_at_a_few_common_terminals(self, payments):
        first_fraud = of_typology(payments, "compromised_terminal").groupby("customer_id")["timestamp"].min()
        others = payments["customer_id"].drop_duplicates().sample(len(first_fraud), random_state=0)
        assert uncovered(payments, first_fraud) == 0
        assert uncovered(payments, pd.Series(first_fraud.to_numpy(), index=others)) > 5

    def test_colluding_merchants_repeat_round_amounts(self, payments):
        frauds = of_typology(payments, "merchant_collusion")
        assert (frauds["amount"] % 5 == 0).all()
        assert frauds["merchant_id"].nunique() <= 2
        assert frauds["amount"].nunique() <= 12

    def test_out_of_pattern_is_high_for_the_category_but_ordinary_among_all(self, payments):
        euros = in_euros(payments)
        frauds = payments["typology"] == "out_of_pattern_amount"
        usual = euros[payments["is_fraud"] == 0].groupby(payments["category"]).quantile(0.9)
        assert (euros[frauds] > payments.loc[frauds, "category"].map(usual)).mean() > 0.8
        assert euros[frauds].max() <= euros[payments["is_fraud"] == 0].quantile(0.99)


def readable(payments: pd.DataFrame) -> pd.DataFrame:
    """The columns of a row as numbers, without ids and labels."""
    codes = OrdinalEncoder(encoded_missing_value=-1).fit_transform(payments[TEXT])
    when = payments["timestamp"].dt
    return pd.DataFrame(codes, columns=TEXT).assign(
        amount=payments["amount"],
        account_age_days=payments["account_age_days"],
        distance_km=payments["distance_km"].fillna(-1),
        is_foreign=payments["is_foreign"].astype(float),
        hour=when.hour + when.minute / 60,
        weekday=when.day_of_week,
    )


class TestDifficulty:
    """Hard enough to be honest: no single column ranks the frauds, and the columns together do."""

    @pytest.mark.parametrize("unit", ["as written", "euros"])
    def test_an_amount_threshold_does_badly(self, payments, unit):
        amount = payments["amount"] if unit == "as written" else in_euros(payments)
        is_fraud = payments["is_fraud"]
        assert average_precision_score(is_fraud, amount) < 5 * is_fraud.mean()
        assert 0.3 < roc_auc_score(is_fraud, amount) < 0.70

    def test_no_column_alone_does_well(self, payments):
        table = readable(payments)
        for name in table.columns.difference(TEXT):
            area = roc_auc_score(payments["is_fraud"], table[name])
            assert 0.2 < area < 0.8, name

    def test_a_supervised_model_does_well_on_later_rows(self, payments):
        table, is_fraud, split = readable(payments), payments["is_fraud"], 36_000
        model = HistGradientBoostingClassifier(
            max_leaf_nodes=15, l2_regularization=5, early_stopping=False, random_state=0,
            categorical_features=TEXT,
        )  # fmt: skip
        with threadpool_limits(1):  # threads that wait for each other on a busy machine are slower than one
            probability = model.fit(table[:split], is_fraud[:split]).predict_proba(table[split:])[:, 1]
        assert roc_auc_score(is_fraud[split:], probability) > 0.93
        assert average_precision_score(is_fraud[split:], probability) > 0.5

    def test_an_unsupervised_model_does_middling(self, payments):
        table = readable(payments)
        normality = IsolationForest(random_state=0).fit(table).score_samples(table)
        assert 0.65 < roc_auc_score(payments["is_fraud"], -normality) < 0.85


class TestParameters:
    @pytest.mark.parametrize(
        ("wrong", "allowed"),
        [
            ({"n_rows": 10}, "an integer in [100, inf]"),
            ({"n_merchants": 3}, "an integer in [625, inf] or None"),
            ({"fraud_rate": 0.9}, "a number in [0, 0.5]"),
            ({"missing_rate": 1.0}, "a number in [0, 1)"),
            ({"start": "soon"}, "a date such as '2025-01-06'"),
            ({"random_state": None}, "an integer in [0, inf] or a numpy Generator"),
            ({"typology_shares": {"phishing": 1.0}}, "some of card_testing, stolen_card_burst"),
            ({"typology_shares": {"card_testing": -1.0}}, "numbers that are not negative"),
            ({"typology_shares": {}}, "not all zero"),
        ],
    )
    def test_out_of_domain_is_said_so(self, wrong, allowed):
        (name,) = wrong
        with pytest.raises(ParameterError) as caught:
            make_transactions(**wrong)
        assert f"The {name!r} parameter of make_transactions" in str(caught.value)
        assert allowed in str(caught.value)
        assert f"Got {wrong[name]!r} instead" in str(caught.value)
