"""The loop learns, keeps the best, repeats itself, and gets out of trouble."""

import copy
import math

import numpy as np
import pytest
import torch

from vae_anomaly._watching import Watching
from vae_anomaly.errors import DeviceWarning, TrainingError, TrainingWarning
from vae_anomaly.model.objective import Noise, mean_elbo
from vae_anomaly.table.layout import EncodedTable
from vae_anomaly.training.callbacks import Callback, EarlyStopping, Evaluation, History, ProgressBar
from vae_anomaly.training.rows import StreamedRows
from vae_anomaly.training.trainer import Trainer, TrainingConfig, far_out


def _state(trainer):
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def test_training_beats_the_columns_on_their_own(make_trainer):
    result = make_trainer(TrainingConfig(n_steps=200)).run()
    assert result.held_out_elbo > result.baseline_elbo + 1.0
    assert result.active_latents >= 1
    assert result.history[-1].train_elbo > result.history[0].train_elbo


def test_training_repeats_itself_and_touches_no_global_generator(make_trainer):
    before = torch.random.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002 - the law is about the global generator
    first, second = make_trainer(), make_trainer()
    first.run()
    second.run()
    one, other = _state(first), _state(second)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002


def test_streamed_training_is_resident_training(make_trainer):
    resident, streamed = make_trainer(), make_trainer(rows=StreamedRows)
    resident.run()
    streamed.run()
    one, other = _state(resident), _state(streamed)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_weights_that_are_kept_are_each_members_best(make_trainer):
    trainer = make_trainer(TrainingConfig(n_steps=80, n_evaluations=8))
    result = trainer.run()
    kept = trainer._held_out_elbo(trainer.model).mean().item()
    assert kept == pytest.approx(result.held_out_elbo, rel=1e-5)
    assert kept >= max(e.held_out_elbo for e in result.history) - 1e-4


def test_independent_columns_are_reported(make_trainer):
    rng = np.random.default_rng(0)
    noise = EncodedTable(
        rng.normal(size=(300, 3)).astype(np.float32),
        rng.uniform(0, 2 * math.pi, (300, 1)).astype(np.float32),
        rng.integers(3, 6, (300, 1)).astype(np.int32),
    )
    config = TrainingConfig(n_steps=40, beta=5.0)
    with pytest.warns(TrainingWarning, match="collapsed|no better than a per-column baseline"):
        make_trainer(config, on=noise).run()


def test_a_collapsed_posterior_is_reported(make_trainer):
    with pytest.warns(TrainingWarning, match="collapsed"):
        make_trainer(TrainingConfig(n_steps=200, beta=1000.0)).run()


def test_trimming_leaves_out_the_rows_that_the_average_finds_worst_and_no_others(make_trainer):
    trainer = make_trainer(TrainingConfig(trim=0.25))
    batches = list(trainer.rows.batches(trainer.measure.draw(3, 32, torch.Generator().manual_seed(0))))
    for batch, trimmed in zip(batches, trainer._trimmed(batches), strict=True):
        elbo, kept = (mean_elbo(trainer.average, rows, trainer.config.beta).total for rows in (batch, trimmed))
        torch.testing.assert_close(kept.sort(dim=1).values, elbo.sort(dim=1).values[:, 8:], rtol=1e-4, atol=1e-4)
    untrimmed = make_trainer(TrainingConfig(trim=0.0))
    assert untrimmed._trimmed(batches) is batches


def test_trimming_keeps_planted_anomalies_out_of_the_model(make_trainer, table):
    """One row in twenty has its sign flipped; a trimmed model is more surprised by these rows than an untrimmed one."""
    values = table.values.copy()
    values[::20, 1] *= -1
    spoilt = EncodedTable(values, table.angles, table.codes)

    def gap(trim):
        trainer = make_trainer(TrainingConfig(n_steps=300, trim=trim), on=spoilt, held_out=0.0)
        trainer.run()
        batch = next(iter(trainer.rows.batches(torch.arange(len(spoilt)).expand(1, 2, -1))))
        elbo = trainer.model.decoder(trainer.model.encoder(batch, torch.zeros(1, len(spoilt), 1)).mu).log_prob(batch)
        row = elbo.sum(-1).mean(0).detach()
        normal = torch.ones(len(spoilt), dtype=torch.bool)
        normal[::20] = False
        return (row[normal].median() - row[~normal].median()).item()

    assert gap(0.1) > gap(0.0) > 0


def test_a_loss_that_is_not_finite_is_rolled_back(make_trainer, monkeypatch):
    """A batch with an infinite number, once: the weights go back, the rate is halved, and training ends well."""
    trainer = make_trainer(TrainingConfig(n_steps=60, n_evaluations=6))
    original, calls = Trainer._update, []

    def poisoned(self, batch):
        calls.append(1)
        if len(calls) == 25:
            batch = batch.map(lambda block: block * math.inf if block.is_floating_point() else block)
        return original(self, batch)

    monkeypatch.setattr(Trainer, "_update", poisoned)
    with pytest.warns(TrainingWarning, match="rolled back"):
        result = trainer.run()
    assert result.n_rollbacks == 1
    assert all(math.isfinite(e.held_out_elbo) for e in result.history)
    assert all(bool(tensor.isfinite().all()) for tensor in trainer.model.state_dict().values())


def test_a_loss_that_never_is_finite_ends_in_an_error(make_trainer):
    trainer = make_trainer(TrainingConfig(n_steps=60, n_evaluations=12, noise=Noise(share=1.0, low=1e38, high=1e39)))
    with pytest.warns(TrainingWarning), pytest.raises(TrainingError, match="learning_rate"):
        trainer.run()


def test_full_memory_halves_the_batch_and_goes_on(make_trainer, monkeypatch):
    original = Trainer._update

    def small_device(self, batch):
        if batch.codes.shape[1] > 40:
            raise torch.OutOfMemoryError
        return original(self, batch)

    monkeypatch.setattr(Trainer, "_update", small_device)
    trainer = make_trainer(TrainingConfig(n_steps=60, batch_size=128))
    with pytest.warns(DeviceWarning) as warned:
        result = trainer.run()
    assert [w.message.args[0].split()[-2] for w in warned] == ["64", "32"]
    assert trainer._batch_size == 32
    assert result.history[-1].step == 60


def test_one_row_that_does_not_fit_is_an_error(make_trainer, monkeypatch):
    def no_device(self, batch):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Trainer, "_update", no_device)
    with pytest.warns(DeviceWarning), pytest.raises(TrainingError, match="does not fit"):
        make_trainer().run()


def test_bfloat16_trains_to_about_the_same_elbo(make_trainer):
    full = make_trainer(TrainingConfig(n_steps=150)).run()
    reduced = make_trainer(TrainingConfig(n_steps=150, dtype=torch.bfloat16)).run()
    gain = full.held_out_elbo - full.baseline_elbo
    assert reduced.held_out_elbo == pytest.approx(full.held_out_elbo, abs=0.3 * gain)


def test_a_callback_sees_every_evaluation_and_can_stop(make_trainer):
    history = History()

    class StopAtThird:
        def on_evaluation(self, evaluation, save):
            return evaluation.step >= 30

    assert isinstance(StopAtThird(), Callback)
    result = make_trainer().run([StopAtThird(), history, ProgressBar()])
    assert [e.step for e in history.evaluations] == [10, 20, 30]
    assert result.stopped_early
    assert result.history == history.evaluations


def test_early_stopping_waits_for_its_patience_and_forgets_between_fits():
    def evaluation(step, elbo):
        return Evaluation(step, 100, 0.0, elbo, 0.0, 0.0)

    stopping = EarlyStopping(patience=2)
    votes = [
        stopping.on_evaluation(evaluation(i, elbo), print) for i, elbo in enumerate([1.0, 2.0, 1.5, 2.1, 2.0, 1.9], 1)
    ]
    assert votes == [False, False, False, False, False, True]
    again = [stopping.on_evaluation(evaluation(i, elbo), print) for i, elbo in enumerate([0.5, 0.6, 0.4, 0.3], 1)]
    assert again == [False, False, False, True]


def test_callbacks_that_are_context_managers_are_entered_for_the_fit_and_left_whatever_happens():
    class Light:
        on = False

        def __enter__(self):
            self.on = True

        def __exit__(self, *_):
            self.on = False

        def on_evaluation(self, evaluation, save):
            assert self.on

    class Broken(Light):
        def __enter__(self):
            raise OSError("no lamp")

    light = Light()
    with Watching([light], patience=None, verbose=True, tasks=None) as watching:
        assert light.on
        for callback in watching.callbacks:
            callback.on_evaluation(Evaluation(1, 2, 0.0, 0.0, 0.0, 0.0), print)
    assert not light.on
    with pytest.raises(OSError, match="no lamp"), Watching([light, Broken()], None, False, None):
        pass
    assert not light.on


def test_an_idle_progress_bar_can_be_copied_with_its_detector():
    assert isinstance(copy.deepcopy([ProgressBar()])[0], ProgressBar)


def test_more_rows_are_left_out_where_more_lie_far_out_but_no_more_than_allowed(make_trainer):
    def kept(share_of_outliers, most):
        trainer = make_trainer(TrainingConfig(trim=0.02, trim_far_out=most))
        batches = list(trainer.rows.batches(trainer.measure.draw(8, 100, torch.Generator().manual_seed(0))))
        spoilt = torch.rand(batches[0].values.shape[1], generator=torch.Generator().manual_seed(1)) < share_of_outliers
        for batch in batches:
            batch.values[:, spoilt] += 1e3
        return trainer._trimmed(batches)[0].codes.shape[1], int(spoilt.sum())

    few, none = kept(0.0, 0.5)
    assert none == 0
    assert few >= 95
    left, outliers = kept(0.2, 0.5)
    assert 100 - left == pytest.approx(outliers, abs=5)
    assert kept(0.2, 0.1)[0] == 90
    assert kept(0.2, 0.0)[0] == 98


def test_a_constant_elbo_has_no_row_far_out():
    assert far_out(torch.zeros(2, 10)) == 0.0


def test_a_batch_of_any_size_has_a_share_far_out():
    elbo = torch.linspace(0, 1, 2**24 + 8)[None].clone()
    elbo[:, -8:] = -100.0
    assert far_out(elbo) == pytest.approx(8 / elbo.numel(), rel=1e-3)
