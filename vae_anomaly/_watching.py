"""Who watches a fit: early stopping, the progress bar, the user's own callbacks, and scikit-learn's."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Self

from vae_anomaly.training.callbacks import Callback, EarlyStopping, Evaluation, ProgressBar


class Watching(ExitStack):
    """All callbacks of one fit; those that are context managers are entered and left with it.

    Parameters
    ----------
    callbacks : sequence of Callback or None
        The user's own.
    patience : int or None
        Of early stopping; None for none.
    verbose : bool
        Whether to show a progress bar.
    tasks : SklearnTasks or None
        The way to callbacks given by `set_callbacks`.
    """

    def __init__(
        self, callbacks: Sequence[Callback] | None, patience: int | None, verbose: bool, tasks: SklearnTasks | None
    ) -> None:
        super().__init__()
        self.callbacks: list[Callback] = [
            *([] if patience is None else [EarlyStopping(patience)]),
            *([ProgressBar()] if verbose else []),
            *(callbacks or []),
            *([tasks] if tasks else []),
        ]

    def __enter__(self) -> Self:
        super().__enter__()
        with ExitStack() as entered:  # if one of them cannot be entered, those before it are left again
            for callback in self.callbacks:
                if isinstance(callback, AbstractContextManager):
                    entered.enter_context(callback)
            self.push(entered.pop_all())
        return self


class SklearnTasks:
    """Passes evaluations on to scikit-learn's callbacks: each is one task of the fit."""

    def __init__(self, detector: Any, context: Any) -> None:
        self._detector, self._context = detector, context

    def on_evaluation(self, evaluation: Evaluation, save: Callable[[str | os.PathLike[str]], None]) -> bool:
        """Begin and end the task; one of the callbacks may ask to stop."""
        task = self._context.subcontext(task_name="evaluation")
        task.call_on_fit_task_begin(estimator=self._detector)
        return bool(task.call_on_fit_task_end(estimator=self._detector, metadata=evaluation.to_json()))
