"""What may watch training, and stop it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, final, runtime_checkable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@dataclass(frozen=True)
class Evaluation:
    """Where training stands.

    Parameters
    ----------
    step, n_steps : int
        Steps done, and steps planned.
    train_elbo : float
        Mean ELBO of the training batches since the last evaluation, in nats per row.
    held_out_elbo : float
        Mean ELBO of the held-out rows under the averaged weights, in nats per row.
    learning_rate : float
        Of the last step.
    seconds : float
        Since training began.

    Examples
    --------
    >>> Evaluation(50, 800, train_elbo=-21.5, held_out_elbo=-20.0, learning_rate=0.003, seconds=0.4).to_json()["step"]
    50
    """

    step: int
    n_steps: int
    train_elbo: float
    held_out_elbo: float
    learning_rate: float
    seconds: float

    def to_json(self) -> dict[str, float]:
        """A row of the history."""
        return asdict(self)


@runtime_checkable
class Callback(Protocol):
    """Called after every evaluation.

    A callback that is a context manager is entered for the time of the fit. `VAEDetector` takes callbacks as a list.

    Examples
    --------
    >>> class StopAt:
    ...     def __init__(self, elbo):
    ...         self.elbo = elbo
    ...     def on_evaluation(self, evaluation, save):
    ...         return evaluation.held_out_elbo >= self.elbo
    >>> isinstance(StopAt(-1.0), Callback)
    True
    """

    def on_evaluation(self, evaluation: Evaluation, save: Callable[[str | os.PathLike[str]], None]) -> bool | None:
        """See where training stands; return True to stop.

        Parameters
        ----------
        evaluation : Evaluation
            The figures.
        save : callable
            ``save(path)`` writes the model as it is now, whole and loadable.
        """
        ...


@final
class EarlyStopping:
    """Stop when the held-out ELBO has not risen by `min_delta` nats for `patience` evaluations.

    Prechelt (1998), "Early stopping - but when?". The weights that are kept are the best ones in any case. It counts
    anew in each fit.

    Parameters
    ----------
    patience : int, default=5
        Evaluations without a rise after which training stops.
    min_delta : float, default=0.0
        Rise of the held-out ELBO, in nats per row, that counts as one.

    Examples
    --------
    >>> stopping = EarlyStopping(patience=1)
    >>> elbos = {50: -9.0, 100: -8.0, 150: -8.5}
    >>> [stopping.on_evaluation(Evaluation(step, 800, 0.0, elbo, 0.003, 1.0), print) for step, elbo in elbos.items()]
    [False, False, True]
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0) -> None:
        self.patience, self.min_delta = patience, min_delta
        self._last_step, self._best, self._waited = 0, float("-inf"), 0

    def on_evaluation(self, evaluation: Evaluation, save: Callable[[str | os.PathLike[str]], None]) -> bool:
        """Count evaluations without a rise."""
        if evaluation.step <= self._last_step:  # another fit
            self._best, self._waited = float("-inf"), 0
        self._last_step = evaluation.step
        if evaluation.held_out_elbo > self._best + self.min_delta:
            self._best, self._waited = evaluation.held_out_elbo, 0
        else:
            self._waited += 1
        return self._waited >= self.patience


@final
@dataclass
class History:
    """Keep every evaluation.

    A fitted detector has those of its own fits in `history_`; this is for watching one from outside.

    Parameters
    ----------
    evaluations : list of Evaluation
        Where they are kept.

    Examples
    --------
    >>> history = History()
    >>> history.on_evaluation(Evaluation(50, 800, -21.5, -20.0, 0.003, 0.4), print)
    >>> [evaluation.held_out_elbo for evaluation in history.evaluations]
    [-20.0]
    """

    evaluations: list[Evaluation] = field(default_factory=list)

    def on_evaluation(self, evaluation: Evaluation, save: Callable[[str | os.PathLike[str]], None]) -> None:
        """Append it."""
        self.evaluations.append(evaluation)


@final
class Checkpoint:
    """Write the model to `path` after every `every` evaluations, so that an interrupted fit is not lost.

    The file is a whole model file. `VAEDetector.load(path)` scores with it; with ``warm_start=True`` a later `fit`
    continues from it.

    Parameters
    ----------
    path : path-like
        The file; an earlier one is replaced.
    every : int, default=1
        Evaluations from one write to the next.

    Examples
    --------
    >>> checkpoint = Checkpoint("model.vaea", every=2)
    >>> for step in (50, 100, 150):
    ...     checkpoint.on_evaluation(Evaluation(step, 800, 0.0, 0.0, 0.003, 1.0), save=print)
    model.vaea
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self.path, self.every = path, every
        self._count = 0

    def on_evaluation(self, evaluation: Evaluation, save: Callable[[str | os.PathLike[str]], None]) -> None:
        """Write when it is time."""
        self._count += 1
        if self._count % self.every == 0:
            save(self.path)


@final
class ProgressBar:
    """A bar on standard error, on a terminal only.

    ``VAEDetector(verbose=True)`` shows one. It is seen while it is entered, which a fit does with its callbacks.

    Examples
    --------
    >>> with ProgressBar() as bar:
    ...     bar.on_evaluation(Evaluation(50, 800, -21.5, -20.0, 0.003, 0.4), print)
    """

    _task: TaskID
    _bar: Progress | None = None  # made on entering, so that an idle bar can be copied with its detector

    def __enter__(self) -> ProgressBar:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(file=sys.stderr)
        columns = (TextColumn("training"), BarColumn(), TextColumn("{task.fields[elbo]}"), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._bar.add_task("training", total=None, elbo="")
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_evaluation(self, evaluation: Evaluation, save: Callable[[str | os.PathLike[str]], None]) -> None:
        """Move the bar."""
        if self._bar is not None:
            elbo = f"held-out ELBO {evaluation.held_out_elbo:.2f} nats"
            self._bar.update(self._task, total=evaluation.n_steps, completed=evaluation.step, elbo=elbo)
