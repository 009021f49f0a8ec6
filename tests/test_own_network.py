"""Networks of the user's own in place of the fully connected ones."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV
from torch import nn

from vae_anomaly import (
    CalibratedDetector,
    ConvolutionalEncoder,
    ModelFileError,
    NetworkShape,
    ParameterError,
    VAEDetector,
)
from vae_anomaly._inputs import encoded
from vae_anomaly._params import to_json
from vae_anomaly.cli.main import run
from vae_anomaly.onnx import export_onnx
from vae_anomaly.report._card import _parameters

N_HOURS = 12

short = pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")  # of fits that are hardly trained


class Plain(nn.Module):
    """A network as anybody would write it, with layers that draw and count while they train."""

    def __init__(self, shape: NetworkShape, width: int = 24):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(shape.n_in, width),
            nn.BatchNorm1d(width),
            nn.SiLU(),
            nn.Dropout(0.1),
            nn.Linear(width, shape.n_out),
        )

    def forward(self, x):
        return self.layers(x)


def small(**params):
    return VAEDetector(**{"max_steps": 80, "n_members": 2, "latent": 6, "hidden": (24,), **params})


def loads(n_rows, seed):
    """Hourly loads of one shape, begun at any hour."""
    rng = np.random.default_rng(seed)
    hours = np.arange(N_HOURS)
    start = rng.uniform(0, N_HOURS, (n_rows, 1))
    rows = np.cos((hours - start) * 2 * np.pi / N_HOURS) + rng.normal(0, 0.1, (n_rows, N_HOURS))
    return pd.DataFrame(rows, columns=[f"h{hour}" for hour in hours])


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    place = rng.integers(0, 4, 400)
    net = rng.gamma(9, 9 + 8 * place)
    return pd.DataFrame(
        {
            "net": net,
            "gross": net * 1.2 + rng.normal(0, 0.5, 400),
            "shop": np.array(list("abcd"))[place],
            "abroad": place > 1,
            "time": pd.Timestamp("2025-01-01") + pd.to_timedelta(rng.integers(0, 10**6, 400), unit="s"),
        }
    ).mask(rng.random((400, 5)) < 0.05)


@pytest.fixture(scope="module")
def fitted(table):
    return small(encoder=Plain, decoder=partial(Plain, width=20)).fit(table)


def test_it_learns(fitted):
    assert fitted.profile_["held_out_elbo"] > fitted.profile_["baseline_elbo"]


def test_a_fit_repeats_and_leaves_the_global_generator_as_it_was(table, fitted):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    again = small(encoder=Plain, decoder=partial(Plain, width=20)).fit(table)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(again.score_samples(table), fitted.score_samples(table))
    other = small(encoder=Plain, decoder=partial(Plain, width=20), random_state=1).fit(table)
    assert not np.array_equal(other.score_samples(table), fitted.score_samples(table))


def test_a_row_has_its_score_wherever_it_stands(table, fitted):
    scores = fitted.score_samples(table)
    order = np.random.default_rng(0).permutation(len(table))
    np.testing.assert_array_equal(fitted.score_samples(table.iloc[order]), scores[order])
    alone = [fitted.score_samples(table.iloc[[place]])[0] for place in (0, 17, 399)]
    np.testing.assert_array_equal(alone, scores[[0, 17, 399]])


def test_members_begin_apart_and_count_their_own_batches(fitted):
    first, second = (dict(member.named_buffers()) for member in fitted.model_.encoder.network.members)
    assert first["layers.1.num_batches_tracked"] > 0
    assert not torch.equal(first["layers.1.running_mean"], second["layers.1.running_mean"])
    assert not fitted.model_.training


@short
def test_an_own_decoder_begins_at_the_marginals(table):
    class Silent(nn.Module):
        def __init__(self, shape):
            super().__init__()
            self.weight, self.shape = nn.Parameter(torch.zeros(1)), shape

        def forward(self, x):
            return self.weight * x.new_ones((len(x), self.shape.n_out))

    silent = small(decoder=Silent, max_steps=1).fit(table)
    usual = small(max_steps=1).fit(table)
    assert silent.profile_["baseline_elbo"] == pytest.approx(usual.profile_["baseline_elbo"])
    bias = silent.model_.decoder.network.bias
    torch.testing.assert_close(bias[0], bias[1], rtol=0, atol=0.02)  # one step away from where both began
    assert bias.std() > 0.1


def test_terms_reasons_and_the_latent_space_are_those_of_the_score(table, fitted):
    rows = table.head(40)
    whole = fitted.explain(rows, n_reasons=None).groupby("row")["share"].sum()
    np.testing.assert_allclose(whole, fitted.anomaly_score(rows), rtol=1e-9)
    by_sum = clone(fitted).set_params(score_type="reconstruction").fit(table)
    np.testing.assert_allclose(by_sum.column_surprisal(rows).sum(axis=1), by_sum.anomaly_score(rows), rtol=1e-12)
    assert fitted.transform(rows).shape == (40, 2 * 6)
    assert list(fitted.reconstruct(rows).columns) == list(table.columns)
    assert np.isfinite(fitted.iwae(rows, n_samples=4).bound).all()
    _, changed = fitted.nearest_normal(rows, return_rows=True)
    assert (fitted.predict(changed) == 1).all()


def test_a_file_holds_weights_and_a_name_and_no_code(table, fitted, tmp_path):
    path = tmp_path / "own.vaea"
    fitted.save(path)
    again = VAEDetector.load(path, encoder=Plain, decoder=partial(Plain, width=20))
    np.testing.assert_array_equal(again.score_samples(table), fitted.score_samples(table))
    assert again.get_params()["encoder"] is Plain
    for given, missing in (({}, "encoder"), ({"encoder": Plain}, "decoder")):
        with pytest.raises(ModelFileError, match=rf"fitted with {missing}=.*Plain.*load\(path, {missing}=\.\.\.\)"):
            VAEDetector.load(path, **given)
    with pytest.raises(ModelFileError, match=r"expected \(2, 24\) float32, found \(2, 20\) float32"):
        VAEDetector.load(path, encoder=Plain, decoder=Plain)
    with pytest.raises(ModelFileError, match="decoder"):
        VAEDetector.load(path, encoder=Plain, decoder=lambda shape: nn.Flatten(0))
    again.save(path, overwrite=True)
    assert np.isfinite(VAEDetector.load(path, encoder=Plain, decoder=partial(Plain, width=20)).offset_)


@short
def test_a_file_of_usual_networks_takes_no_factory(table, tmp_path):
    path = tmp_path / "usual.vaea"
    small(max_steps=5).fit(table).save(path)
    with pytest.raises(ModelFileError, match="encoder of this package"):
        VAEDetector.load(path, encoder=Plain)


def test_a_calibration_comes_with_its_detector(table, tmp_path):
    path = tmp_path / "calibrated.vaea"
    with pytest.warns(UserWarning, match="rows"):
        detector = CalibratedDetector(small(encoder=Plain)).fit(table)
    detector.save(path)
    again = CalibratedDetector.load(path, encoder=Plain)
    np.testing.assert_array_equal(again.predict(table), detector.predict(table))
    with pytest.raises(ModelFileError, match="encoder=tests"):
        CalibratedDetector.load(path)


def test_it_goes_on_learning(table, fitted):
    more = pickle.loads(pickle.dumps(fitted)).partial_fit(table)  # noqa: S301
    assert not np.array_equal(more.score_samples(table), fitted.score_samples(table))
    warm = small(encoder=Plain, warm_start=True, max_steps=40).fit(table)
    steps = warm.model_.encoder.network.members[0].layers[1].num_batches_tracked.item()
    assert warm.fit(table).model_.encoder.network.members[0].layers[1].num_batches_tracked.item() > steps


@short
def test_scikit_learn_chooses_among_networks(table):
    candidates = [None, Plain, partial(Plain, width=8)]
    search = GridSearchCV(small(max_steps=5), {"encoder": candidates}, cv=2, scoring=lambda fitted, X: 0.0)
    assert search.fit(table).best_params_["encoder"] in candidates
    assert clone(small(encoder=candidates[2])).encoder.keywords == {"width": 8}


@short
def test_known_frauds_are_told_as_ever(table):
    known = np.full(len(table), -1)
    known[:20], known[20:60] = 1, 0
    detector = small(encoder=Plain, max_steps=20).fit(table, known=known)
    assert detector.known_head_ is not None
    assert np.isfinite(detector.score_samples(table)).all()


def test_a_convolution_over_the_hours_finds_the_row_whose_hours_do_not_fit():
    rng = np.random.default_rng(1)
    rows, broken = loads(1_500, seed=0), loads(300, seed=1)
    odd = np.arange(300) < 30
    cells = broken.to_numpy().copy()
    cells[np.flatnonzero(odd), rng.integers(0, N_HOURS, 30)] *= -1  # every number stays a usual one of its column
    broken = pd.DataFrame(cells, columns=broken.columns)
    detector = small(encoder=ConvolutionalEncoder, contamination=0.0, max_steps=300, n_members=1).fit(rows)
    assert average_precision_score(odd, detector.anomaly_score(broken)) > 0.7


@short
def test_the_columns_of_numbers_are_told_in_table_order():
    told = []

    def noted(shape):
        told.append(shape)
        return Plain(shape)

    frame = loads(200, seed=0)
    frame.insert(2, "shop", list("abcd") * 50)
    frame.loc[::7, "h3"] = np.nan
    small(encoder=noted, max_steps=1).fit(frame)
    assert len(told) == 2
    assert told[0].columns == tuple(f"h{hour}" for hour in range(N_HOURS))
    assert told[0].n_in == 1 + 2 * N_HOURS + 8
    assert told[0].n_out == 16


@short
def test_values_and_flags_come_where_the_shape_says():
    class Watching(Plain):
        def forward(self, x):
            seen.append(x.clone())
            return super().forward(x)

    seen = []
    frame = loads(200, seed=0)
    frame.loc[0, "h3"] = np.nan
    detector = small(encoder=Watching, max_steps=1, n_members=1).fit(frame)
    seen.clear()
    detector.score_samples(frame)
    network, row = detector.model_.encoder.network, seen[0][0]
    observed = row[network.shape.observed]
    assert observed.tolist() == [1.0] * 3 + [0.0] + [1.0] * (N_HOURS - 4)
    values = row[network.shape.values].numpy()
    assert values[3] == 0
    there = np.delete(frame.loc[0].to_numpy(), 3)
    assert np.corrcoef(np.delete(values, 3), there)[0, 1] > 0.99


class Mixing(nn.Linear):
    """Takes the mean of the batch off, in scores too."""

    def __init__(self, shape):
        super().__init__(shape.n_in, shape.n_out)

    def forward(self, x):
        return super().forward(x - x.mean(0))


class Drawing(Mixing):
    """Draws in scores too."""

    def forward(self, x):
        return nn.functional.dropout(x @ self.weight.T, 0.5)


one_network = nn.Linear(25, 16)


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        (lambda shape: nn.Linear(shape.n_in, 5), r"map \(64, 25\) to \(64, 16\). Got \(64, 5\) of torch.float32"),
        (lambda shape: nn.Linear(7, shape.n_out), r"map \(64, 25\) to \(64, 16\). Got RuntimeError: mat1 and mat2"),
        (lambda shape: nn.LSTM(shape.n_in, shape.n_out), "Got a tuple"),
        (lambda shape: nn.Linear(shape.n_in, shape.n_out).double(), "float32 .* Got weight of torch.float64"),
        (lambda shape: nn.LazyLinear(shape.n_out), "NetworkShape.n_in. Got a lazy layer"),
        (lambda shape: "a network", "return an nn.Module. Got a str"),
        (lambda: None, "called with a NetworkShape. Got TypeError"),
        (lambda shape: one_network, "a new network each time it is called. Got members with weights in common"),
        (Mixing, r"whatever rows are beside it. Got outputs that change"),
        (Drawing, r"whatever rows are beside it. Got outputs that change"),
        (one_network, "a function or class that makes a new nn.Module .* Got Linear"),
        ("transformer", "a function or class .* or None. Got 'transformer'"),
    ],
)
def test_what_cannot_be_used_is_told_before_training(factory, says):
    began = []
    detector = small(encoder=factory, callbacks=[type("Watch", (), {"on_evaluation": lambda *a: began.append(a)})()])
    with pytest.raises(ParameterError, match=says):
        detector.fit(loads(60, seed=0))
    assert not began
    assert not hasattr(detector, "model_")


@pytest.mark.parametrize("frame", [pd.DataFrame({"shop": list("abcb") * 20}), pd.DataFrame({"a": np.arange(80.0)})])
def test_convolutions_need_numbers_that_have_an_order(frame):
    with pytest.raises(ParameterError, match=r"two columns of numbers or more\. Got [01] instead"):
        small(encoder=ConvolutionalEncoder).fit(frame)
    with pytest.raises(ParameterError, match="'width' parameter of ConvolutionalEncoder must be an integer"):
        ConvolutionalEncoder(NetworkShape(5, 16, ("a", "b")), width=0)


def test_a_factory_is_named_without_its_place_in_memory():
    assert to_json(Plain).endswith(":Plain")
    assert to_json(partial(Plain, width=3)).endswith(":Plain(width=3)")


def test_the_graph_for_other_runtimes_has_the_own_network(tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    rows = loads(300, seed=0)
    detector = small(encoder=ConvolutionalEncoder, n_members=1).fit(rows)
    graph, _ = export_onnx(detector, tmp_path / "own.onnx")
    (score,) = runtime.InferenceSession(graph).run(
        ["anomaly_score"], {"values": encoded(detector.schema_, rows).values}
    )
    np.testing.assert_allclose(score, detector.anomaly_score(rows), rtol=1e-4, atol=1e-4)


def test_the_command_line_says_why_it_cannot(table, fitted, tmp_path, capsys):
    fitted.save(tmp_path / "own.vaea")
    with pytest.raises(SystemExit) as ended:
        run(["inspect", str(tmp_path / "own.vaea")])
    assert ended.value.code
    assert "VAEDetector.load(path, encoder=...)" in " ".join(capsys.readouterr().err.split())


def test_the_generative_side_is_that_of_the_own_network(table, fitted):
    rows = table.head(20)
    made = fitted.inverse_transform(fitted.transform(rows)).drop(columns="time")  # of a date its day is not known
    pd.testing.assert_frame_equal(made, fitted.reconstruct(rows).drop(columns="time"))
    assert list(fitted.sample(6, random_state=0).columns) == list(table.columns)


def test_a_model_card_names_the_factory(fitted):
    told = dict(_parameters(fitted))
    assert told["encoder"].endswith(":Plain")
    assert told["decoder"].endswith(":Plain(width=20)")
