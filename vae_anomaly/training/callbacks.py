"""What may watch training, and stop it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Protocol, final, runtime_checkable


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

    Prechelt (1998), "Early stopping - but when?". The weights that are kept are the best ones in any case.
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0) -> None:
        self.patience, self.min_delta = patience, min_delta
        self._best, self._waited = float("-inf"), 0

    def on_evaluation(self, evaluation: Evaluation, save: Callable[[str | os.PathLike[str]], None]) -> bool:
        """Count evaluations without a rise."""
        if evaluation.step <= evaluation.n_steps and evaluation.held_out_elbo > self._best + self.min_delta:
            self._best, self._waited = evaluation.held_out_elbo, 0
        else:
            self._waited += 1
        return self._waited >= self.patience


@final
@dataclass
class History:
    """Keep every evaluation."""

    evaluations: list[Evaluation] = field(default_factory=list)

    def on_evaluation(self, evaluation: Evaluation, save: Callable[[str | os.PathLike[str]], None]) -> None:
        """Append it."""
        self.evaluations.append(evaluation)


@final
class Checkpoint:
    """Write the model to `path` after every `every` evaluations, so that an interrupted fit is not lost.

    The file is a whole model file. `VAEDetector.load(path)` scores with it; with ``warm_start=True`` a later `fit`
    continues from it.
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
    """A bar on standard error, on a terminal only."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(file=sys.stderr)
        columns = (TextColumn("training"), BarColumn(), TextColumn("{task.fields[elbo]}"), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._bar.add_task("training", total=None, elbo="")

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def on_evaluation(self, evaluation: Evaluation, save: Callable[[str | os.PathLike[str]], None]) -> None:
        """Move the bar."""
        elbo = f"held-out ELBO {evaluation.held_out_elbo:.2f} nats"
        self._bar.update(self._task, total=evaluation.n_steps, completed=evaluation.step, elbo=elbo)
