"""The detector: a tabular variational autoencoder behind scikit-learn's outlier detector API."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from vae_anomaly._building import (
    check_alike,
    exemplar_candidates,
    new_model,
    remember_exemplars,
    seeded_layers,
    training_config,
)
from vae_anomaly._explaining import Explained
from vae_anomaly._filling import FittedCells
from vae_anomaly._imputing import Imputed
from vae_anomaly._inputs import check_row_count, encoded, frequency_weights, validated
from vae_anomaly._known import KnownHead, cells, set_apart
from vae_anomaly._latent_space import LatentSpace
from vae_anomaly._nearest import NearestNormal
from vae_anomaly._params import check_params
from vae_anomaly._rules import RULES, alert_share
from vae_anomaly._sampler.sampler import FittedRows, exact_cells
from vae_anomaly._sampling import Sampled
from vae_anomaly._stored import contents, restored
from vae_anomaly._usual import usual_surprisals
from vae_anomaly._watching import SklearnTasks, Watching
from vae_anomaly.artifact import read_artifact, write_artifact
from vae_anomaly.decision.reasons import Usual
from vae_anomaly.model.batch import Batch
from vae_anomaly.model.network import TabularVAE
from vae_anomaly.model.own_network import NetworkFactory, OwnNetworks
from vae_anomaly.model.scoring import (
    TILE,
    IwaeEstimate,
    Surprisals,
    iwae,
    kl_scale,
    part_weights,
    row_scores,
    surprisals,
)
from vae_anomaly.table.layout import EncodedTable
from vae_anomaly.table.schema import Schema
from vae_anomaly.training.callbacks import Callback
from vae_anomaly.training.device import choose_device, exact_products, few_threads, fits
from vae_anomaly.training.parallel import Processes
from vae_anomaly.training.rows import ResidentRows, RowMeasure, StreamedRows
from vae_anomaly.training.trainer import Trainer, TrainingResult

_FIT_ROWS = 10_000
"""Rows from which `offset_` and the fitted profile are taken; all of them in a smaller table."""

_CHUNK = 64 * TILE
"""Rows whose surprisals are held at once while scoring."""


class VAEDetector(
    Explained, Imputed, LatentSpace, NearestNormal, Sampled, CallbackSupportMixin, OutlierMixin, BaseEstimator
):
    """Outlier detector for mixed tables: an ensemble of variational autoencoders with a likelihood for each column.

    It learns, without labels, how the columns of a table go together, and scores a row by how surprised it is, in nats.
    Numbers, categories, booleans and dates are taken as they are; missing cells are left out of the likelihood. A
    fitted detector gives the same row the same score, bit for bit, in any batch size and row order.

    Parameters
    ----------
    score_type : {"elbo", "reconstruction", "iwae"}, default="elbo"
        What `score_samples` returns: the evidence lower bound at the posterior mean, with the KL to the exemplars; the
        log likelihood alone, without the KL; or the importance-weighted bound of Burda et al. (2016) with
        `n_iwae_samples` fixed draws and the prior N(0, I).
    contamination : "auto" or float in [0, 0.5], default="auto"
        Share of anomalies in the training rows. That share of them lies below `offset_`, and the rows of each batch
        that fit worst, that share and 5 % more, are not learnt from. 0.0 says that the rows are clean: every row is
        learnt from, and none lies below `offset_`. "auto" says that they are unlabelled: 1 % of the rows lie below
        `offset_`, and 3 to 12 % of each batch are not learnt from, more the oftener each row is seen and the more rows
        fit far worse than most. On a large table with more than 1 % of anomalies, state it.
    n_members : int, default=3
        Networks in the ensemble. Fewer are faster, more are steadier.
    hidden : tuple of int, default=(96, 96)
        Widths of the encoder's hidden layers, and in reverse of the decoder's.
    latent : int, default=32
        Dimension of the latent space; no more than the table has parts to describe.
    encoder, decoder : callable or None, default=None
        Factories of networks of your own in place of the fully connected ones, such as `ConvolutionalEncoder`: called
        with a `NetworkShape`, once for each member, they return an ``nn.Module`` that maps rows to rows.
    beta : float, default=0.1
        Weight of the KL to N(0, I) in training (Higgins et al. 2017).
    n_exemplars : int, default=512
        Training rows of each member whose posteriors make up the prior p(z) of the "elbo" score, as in the Exemplar VAE
        of Norouzi et al. (2020): the model remembers where in latent space training rows lie. Unless `contamination`
        is 0.0, they are the better-fitting half of twice as many. 0 leaves p(z) at N(0, I).
    exemplar_weight : float, default=0.5
        Weight of the KL to that prior in the "elbo" score, beside `kl_scale_`.
    numeric_spread, discrete_spread : float or None, default=1.5 and 0.1
        Most spread, in nats, that the surprisal of a number or angle, and of a category or boolean, has in the "elbo"
        score: one that varies more over the training rows is scaled down, so that columns that surprise in many rows,
        as those of many levels do, do not drown the others. None scales none.
    dof : float, default=3.0
        Degrees of freedom of the Student-t likelihood of numbers.
    max_steps : int, default=800
        Training steps, whatever the number of rows.
    max_epochs : float or None, default=30
        Most times that a row is learnt from, on average, unless `contamination` is 0.0: what is seen more often is
        learnt by heart, anomalies too. It shortens training on tables of fewer than 2,600 rows. None sets no limit.
    batch_size : int, default=96
        Rows of a step, for each member.
    learning_rate : float, default=0.006
        Highest learning rate of the one-cycle schedule.
    validation_fraction : float in [0, 0.5], default=0.1
        Share of the rows that each member holds out to measure its ELBO on; members hold out different rows. Tables of
        fewer than 100 rows hold out none.
    patience : int or None, default=5
        Evaluations (of 16) without a better held-out ELBO after which training stops; None goes on to the end. The best
        weights are kept in any case.
    max_categories : int, default=1024
        Most levels of a categorical column; seldom levels beyond share one "rare" level.
    kinds : mapping of str to str or None, default=None
        Kinds of columns that should not be inferred: "numeric", "categorical", "boolean", "datetime" or "identifier"
        (set aside).
    n_iwae_samples : int, default=64
        Draws of the "iwae" score.
    warm_start : bool, default=False
        Let a second `fit` continue from the fitted weights; the schema stays as it is.
    device : str, default="auto"
        "auto" takes CUDA, then MPS, then the CPU; or a device of torch.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the matrix products in training; "auto" takes bfloat16 on GPUs that have it and networks wide enough to gain.
        Scores are always computed in float32.
    callbacks : list of Callback or None, default=None
        Called at each evaluation; see `vae_anomaly.Callback`. scikit-learn's own callbacks go to `set_callbacks`.
    verbose : bool, default=False
        Show a progress bar on a terminal.
    random_state : int, RandomState or None, default=0
        Seed of the weights, draws and noise. Unlike elsewhere in scikit-learn the default is a fixed seed, so that two
        fits on the same rows agree.

    Attributes
    ----------
    schema_ : Schema
        The columns, as inferred from the training rows.
    offset_ : float
        Threshold: ``decision_function(X) = score_samples(X) - offset_``.
    history_ : list of dict
        Step, training ELBO, held-out ELBO (nats per row), learning rate and seconds of each evaluation.
    profile_ : dict
        Figures of the fit: rows, held-out ELBO and that of a per-column baseline, mean surprisal of each column, steps,
        whether training stopped early, seconds.
    part_spread_ : ndarray of shape (n_parts,)
        Standard deviation of the surprisal of each part of the columns over training rows, in nats.
    kl_scale_ : float
        What the KL of the "elbo" score is scaled by, at most 1, so that it varies no more than the surprisal does.
    model_ : TabularVAE
        The network.
    usual_ : dict of str to Usual
        What surprisals of each column are usual on held-out rows, "plain" and "conditional", for `explain`.
    known_head_ : KnownHead or None
        What `known` frauds add to the anomaly score; None where `fit` was told of none.
    filling_ : Filling or None
        How far the network is to be believed in gaps, for `impute`, measured when first needed; None in a checkpoint.
    sampler_ : Sampler or None
        What is kept of the training rows for `sample`, made when it is first needed; None in a checkpoint.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, where `X` had any.

    See Also
    --------
    sklearn.ensemble.IsolationForest : The usual first detector on numeric tables.

    Notes
    -----
    Kingma & Welling (2014), "Auto-encoding variational Bayes"; An & Cho (2015), "Variational autoencoder based anomaly
    detection using reconstruction probability"; Vincent et al. (2008) for the denoising.

    `sample_weight` are frequency weights: weight 2 is the same as the row twice, bit for bit.

    `offset_` belongs to the score that it was fitted with: after a change of `score_type`, `exemplar_weight`,
    `numeric_spread` or `discrete_spread`, fit again.

    Examples
    --------
    >>> import pandas as pd
    >>> from vae_anomaly import VAEDetector, make_transactions
    >>> rows = make_transactions(2_000, random_state=0).drop(columns=["is_fraud", "typology"])
    >>> detector = VAEDetector(max_steps=50, n_members=1, kinds={"transaction_id": "identifier"}).fit(rows)
    >>> detector.anomaly_score(rows).shape, detector.predict(rows)[:3]
    ((2000,), array([1, 1, 1]))
    >>> detector.column_surprisal(rows).columns[:3].tolist()
    ['timestamp', 'customer_id', 'merchant_id']
    >>> detector.reconstruct(rows.head(2)).columns.equals(rows.columns), detector.transform(rows).shape
    (True, (2000, 18))

    It goes on learning, and survives being saved to the last bit:

    >>> import os, tempfile
    >>> detector = detector.partial_fit(rows.tail(500))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     detector.save(os.path.join(folder, "payments.vaea"))
    ...     again = VAEDetector.load(os.path.join(folder, "payments.vaea"), device="cpu")
    >>> bool((again.score_samples(rows) == detector.score_samples(rows)).all())
    True
    """

    schema_: Schema
    part_spread_: NDArray[np.float64]
    kl_scale_: float
    model_: TabularVAE
    history_: list[dict[str, float]]
    profile_: dict[str, Any]
    offset_: float
    known_head_: KnownHead | None
    usual_: dict[str, Usual]

    def __init__(
        self,
        *,
        score_type: str = "elbo",
        contamination: float | str = "auto",
        n_members: int = 3,
        hidden: Sequence[int] = (96, 96),
        latent: int = 32,
        encoder: NetworkFactory | None = None,
        decoder: NetworkFactory | None = None,
        beta: float = 0.1,
        n_exemplars: int = 512,
        exemplar_weight: float = 0.5,
        numeric_spread: float | None = 1.5,
        discrete_spread: float | None = 0.1,
        dof: float = 3.0,
        max_steps: int = 800,
        max_epochs: float | None = 30,
        batch_size: int = 96,
        learning_rate: float = 6e-3,
        validation_fraction: float = 0.1,
        patience: int | None = 5,
        max_categories: int = 1024,
        kinds: Mapping[str, str] | None = None,
        n_iwae_samples: int = 64,
        warm_start: bool = False,
        device: str = "auto",
        precision: str = "auto",
        callbacks: Sequence[Callback] | None = None,
        verbose: bool = False,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.score_type = score_type
        self.contamination = contamination
        self.n_members = n_members
        self.hidden = hidden
        self.latent = latent
        self.encoder = encoder
        self.decoder = decoder
        self.beta = beta
        self.n_exemplars = n_exemplars
        self.exemplar_weight = exemplar_weight
        self.numeric_spread = numeric_spread
        self.discrete_spread = discrete_spread
        self.dof = dof
        self.max_steps = max_steps
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.max_categories = max_categories
        self.kinds = kinds
        self.n_iwae_samples = n_iwae_samples
        self.warm_start = warm_start
        self.device = device
        self.precision = precision
        self.callbacks = callbacks
        self.verbose = verbose
        self.random_state = random_state

    # ---------------------------------------------------------------- fitting

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, known: Any = None) -> Self:
        """Learn how the columns of `X` go together.

        Parameters
        ----------
        X : DataFrame (pandas, polars, pyarrow) or array-like of shape (n_samples, n_features)
            Training rows: mixed types, missing cells and unlabelled anomalies may be in them.
        y : ignored
            Here for scikit-learn's API. Labels are never taken from here; see `known`.
        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts; 0 leaves it out.
        known : array-like of shape (n_samples,), default=None
            What is known of a few rows: 1 for a fraud, 0 for a genuine row; -1, NaN, None or NA for not known. The
            networks do not learn from known frauds; what these have in common is added to the score.

        Returns
        -------
        self : VAEDetector
            Fitted.

        Raises
        ------
        ParameterError
            If a constructor parameter is outside its domain.
        TableError
            If the rows cannot be used as they are; the message says why and what to do.
        TrainingError
            If training diverged and could not be rescued.
        """
        check_params("VAEDetector", self.get_params(deep=False), RULES)
        context = self._init_callback_context(max_subtasks=None)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        continued = self.warm_start and hasattr(self, "model_")
        X = self._validated(X, reset=not continued)
        labels, weight = set_apart(known, len(X), frequency_weights(X, sample_weight))
        if continued:
            schema, model = self.schema_, self.model_
        else:
            schema = Schema.infer(X, kinds=self.kinds, max_categories=self.max_categories, sample_weight=weight)
            model = None
        self._train(X, weight, schema, model, self.max_steps, self.learning_rate, context, labels)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Continue training on new rows, for a quarter of `max_steps` at a third of the learning rate.

        The schema stays as the first call found it, and `offset_` is set anew from the new rows.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            New rows, with the columns of the first call.
        y : ignored
            Labels are never used.
        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts.

        Returns
        -------
        self : VAEDetector
            Fitted further. On an unfitted detector this is `fit`.
        """
        if not hasattr(self, "model_"):
            self.fit(X, y, sample_weight=sample_weight)
            return self
        check_params("VAEDetector", self.get_params(deep=False), RULES)
        X = self._validated(X, reset=False)
        weight = frequency_weights(X, sample_weight)
        n_steps, learning_rate = max(1, self.max_steps // 4), self.learning_rate / 3
        self._train(X, weight, self.schema_, self.model_, n_steps, learning_rate, None)
        return self

    def _train(
        self,
        X: Any,
        weight: NDArray[np.float64] | None,
        schema: Schema,
        model: TabularVAE | None,
        n_steps: int,
        learning_rate: float,
        context: Any,
        labels: NDArray[np.int8] | None = None,
    ) -> None:
        """Encode the rows, train the network (a new one for None), and take what is fitted from the rows."""
        table = encoded(schema, X)
        processes = Processes.here()
        seed = processes.of_first(int(check_random_state(self.random_state).randint(2**31 - 1)))
        device = choose_device(self.device)
        n_members = model.config.n_members if model else self.n_members  # a network that goes on keeps its members
        measure = RowMeasure(table, weight, n_members, self.validation_fraction, seed)
        check_row_count(measure.total)
        check_alike(processes, self, table, measure, seed)
        some = measure.sample(_FIT_ROWS).numpy()
        fitted, exact = table[some], exact_cells(schema, X, some)
        history = [] if model is None else list(self.history_)
        head = self.known_head_ if context is None and model is not None else None  # partial_fit keeps it

        def learn(detector: VAEDetector) -> KnownHead | None:
            if labels is None:
                return head
            return KnownHead.of_table(table, schema.layout(), (labels, weight), detector._scores, seed)

        def finish(detector: VAEDetector, trained: TabularVAE, result: TrainingResult) -> None:
            evaluations = history + [evaluation.to_json() for evaluation in result.history]
            figures = {"n_rows": measure.total, **result.figures()}
            detector._finish(schema, trained, fitted, candidates, held_out, evaluations, figures, learn)
            detector._sample_from(FittedRows(trained, schema, fitted, exact))

        def save(snapshot: TabularVAE, result: TrainingResult, path: str | os.PathLike[str]) -> None:
            checkpoint = self.__class__(**self.get_params(deep=False))
            finish(checkpoint, snapshot, result)
            checkpoint._sample_from(None)  # which takes a while, and nobody samples from a checkpoint
            checkpoint._fill_from(None)
            checkpoint.save(path, overwrite=True)

        tasks = SklearnTasks(self, context) if context is not None else None
        with (
            few_threads(device, max(self.hidden)),
            Watching(self.callbacks, self.patience, self.verbose and processes.is_first, tasks) as watching,
        ):
            # A copy, because training that goes on may fail or be interrupted, and the fitted weights must survive it.
            model = copy.deepcopy(model) if model else new_model(self, schema.layout(), table, measure, seed)
            model = model.to(device)
            rows = (ResidentRows if fits(table.nbytes, device) else StreamedRows)(table, device)
            candidates = exemplar_candidates(self, model, rows, measure)
            held_out = next(rows.batches(measure.held_out()[None]))
            config = training_config(self, n_steps, learning_rate, measure.total, device)
            with seeded_layers(model, seed, device):
                result = Trainer(model, rows, measure, config, seed, processes).run(watching.callbacks, save)
        finish(self, model, result)

    def _finish(
        self,
        schema: Schema,
        model: TabularVAE,
        fitted: EncodedTable,
        candidates: Batch,
        held_out: Batch,
        history: list[dict[str, float]],
        figures: dict[str, Any],
        learn: Callable[[VAEDetector], KnownHead | None],
    ) -> None:
        """Set all that is fitted, or nothing: a fit that fails or is interrupted leaves an earlier one as it was."""
        trial = copy.copy(self)
        trial._set_schema(schema)
        trial.model_, trial.history_ = model, history
        trial.part_spread_ = np.concatenate([chunk.parts for chunk in trial._surprisals(fitted)]).std(axis=0)
        remember_exemplars(model, candidates, trial._part_weights())
        found = list(trial._surprisals(fitted))
        trial.kl_scale_ = kl_scale(found, trial._part_weights())
        trial.usual_ = usual_surprisals(trial, held_out)
        trial._fill_from(FittedCells(model, fitted, held_out, schema))
        trial.known_head_ = None
        trial.known_head_ = learn(trial)
        scores = trial._iwae(fitted, self.n_iwae_samples).bound if self.score_type == "iwae" else trial._summed(found)
        scores = scores - trial._lift(fitted)
        trial.offset_ = float(np.percentile(scores, 100 * alert_share(self.contamination)))
        surprisal = np.concatenate([chunk.by_column(schema.layout()) for chunk in found]).mean(axis=0)
        means = dict(zip(schema.modelled, surprisal.tolist(), strict=True))
        trial.profile_ = {**figures, "column_surprisal": means}
        self.__dict__.update(trial.__dict__)

    def _set_schema(self, schema: Schema) -> None:
        self.schema_, self.n_features_in_ = schema, len(schema.names)
        self.__dict__.pop("feature_names_in_", None)
        if schema.named:
            self.feature_names_in_ = np.asarray(schema.names, dtype=object)

    # ---------------------------------------------------------------- scoring

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Score rows: higher is more normal.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`, in any order if they have names.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            The ELBO, log likelihood or importance-weighted bound of each row, in nats, as `score_type` says.

        Raises
        ------
        SchemaMismatchError
            If the columns differ from those of `fit`; the message shows the difference.
        """
        return self._scores(self._encode(X))

    def anomaly_score(self, X: Any) -> NDArray[np.float64]:
        """Score rows the other way round: higher is more anomalous.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            ``-score_samples(X)``, in nats.
        """
        return -self.score_samples(X)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Distance from the threshold: negative for anomalies.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``, in nats.
        """
        scores = self.score_samples(X)
        return scores - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Flag rows whose score lies below `offset_`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`.

        Returns
        -------
        flags : ndarray of shape (n_samples,)
            -1 for anomalies, 1 for the others.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def column_surprisal(self, X: Any) -> pd.DataFrame:
        """How surprising each cell is, given the row's latent position.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`.

        Returns
        -------
        surprisal : DataFrame of shape (n_samples, n_modelled_columns)
            −log p in nats, 0 where a cell is missing. Columns that were set aside are not in it. The row sums are the
            anomaly scores of ``score_type="reconstruction"`` exactly.
        """
        terms = [chunk.by_column(self.schema_.layout()) for chunk in self._surprisals(self._encode(X))]
        index = X.index if isinstance(X, pd.DataFrame) else None
        return pd.DataFrame(np.concatenate(terms), columns=list(self.schema_.modelled), index=index)

    def iwae(self, X: Any, n_samples: int | None = None) -> IwaeEstimate:
        """Importance-weighted bound on log p(x), with its standard error.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`.
        n_samples : int, optional
            Draws; `n_iwae_samples` by default. The same draws serve every row and call.

        Returns
        -------
        estimate : IwaeEstimate
            `bound` and `standard_error`, each an ndarray of shape (n_samples,), in nats.
        """
        n_samples = self.n_iwae_samples if n_samples is None else n_samples
        check_params("VAEDetector.iwae", {"n_samples": n_samples}, {"n_samples": RULES["n_iwae_samples"]})
        return self._iwae(self._encode(X), n_samples)

    def _encode(self, X: Any) -> EncodedTable:
        check_is_fitted(self, "offset_")
        return encoded(self.schema_, self._validated(X, reset=False))

    def _scores(self, table: EncodedTable) -> NDArray[np.float64]:
        if self.score_type == "iwae":
            return self._iwae(table, self.n_iwae_samples).bound - self._lift(table)
        with exact_products():
            return row_scores(self.model_, table, *self._score_weights()) - self._lift(table)

    def _lift(self, table: EncodedTable) -> NDArray[np.float64] | float:
        """What known frauds add to the anomaly score; 0.0 leaves every bit as it is."""
        return self.known_head_.lift(cells(table, self.schema_.layout())) if self.known_head_ else 0.0

    def _summed(self, found: Iterable[Surprisals]) -> NDArray[np.float64]:
        layout, weights = self.schema_.layout(), self._score_weights()
        return np.concatenate([rows.scores(layout, *weights) for rows in found])

    def _score_weights(self) -> tuple[NDArray[np.float64] | None, float]:
        """Of the parts, None for one each; and of the KL."""
        elbo = self.score_type == "elbo"
        return (self._part_weights(), self.exemplar_weight * self.kl_scale_) if elbo else (None, 0.0)

    def _part_weights(self) -> NDArray[np.float64]:
        return part_weights(self.schema_.layout(), self.part_spread_, self.numeric_spread, self.discrete_spread)

    def _surprisals(self, table: EncodedTable) -> Iterator[Surprisals]:
        """Surprisal of each part, and the KL, in chunks of rows."""
        with exact_products():
            for start in range(0, len(table), _CHUNK):
                yield surprisals(self.model_, table[start : start + _CHUNK])

    def _iwae(self, table: EncodedTable, n_samples: int) -> IwaeEstimate:
        with exact_products():
            return iwae(self.model_, table, n_samples, seed=0)

    # ---------------------------------------------------------------- files

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the fitted detector to one model file.

        Parameters
        ----------
        path : path-like
            By custom ``*.vaea``.
        overwrite : bool, default=False
            Replace an existing file.

        Raises
        ------
        OutputError
            If the file exists and may not be overwritten, or cannot be written.
        """
        check_is_fitted(self, "offset_")
        write_artifact(path, *contents(self), overwrite=overwrite)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "auto",
        encoder: NetworkFactory | None = None,
        decoder: NetworkFactory | None = None,
    ) -> Self:
        """Read a detector from a model file, which is audited first and never executed.

        Parameters
        ----------
        path : path-like
            A file that `save` wrote, on any machine or device. A calibration in it is left aside: `CalibratedDetector`
            loads both.
        device : str, default="auto"
            Where the weights go.
        encoder, decoder : callable or None, default=None
            The factories that the detector was fitted with: a file holds the weights of your own networks, but no code.

        Returns
        -------
        detector : VAEDetector
            Fitted; its scores on this machine are bit-equal to those before saving.

        Raises
        ------
        ModelFileError
            If the file is damaged, altered, of a newer format, no model file, or does not fit `encoder` and `decoder`.
            Nothing in it is run.
        """
        artifact = read_artifact(path)
        target = choose_device(device)
        detector: Self = restored(cls, artifact, os.fspath(path), OwnNetworks(encoder, decoder))
        detector.device = device
        detector.model_.to(target)
        return detector

    # ---------------------------------------------------------------- input

    def _validated(self, X: Any, *, reset: bool) -> Any:
        """A frame as it is, anything else as a checked array; scikit-learn's own messages where they are known."""
        return validated(self, X, reset=reset)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
