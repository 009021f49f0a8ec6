"""A peer on a file as it is: read with pandas, text and missing cells turned into numbers, fitted, scored, measured."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, TextIO

from vae_anomaly.benchmark.detectors import detector
from vae_anomaly.errors import TableError

if TYPE_CHECKING:
    import pandas as pd


def ordinal_encoder() -> Any:
    """What turns a mixed table into numbers for detectors that know nothing else.

    Text becomes the rank of its category, -1 where it is missing or was not seen in fit; a missing number becomes the
    median of its column.

    Returns
    -------
    sklearn transformer
        Unfitted.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"amount": [1.0, None, 3.0], "city": ["Oslo", "Bergen", None]})
    >>> ordinal_encoder().fit_transform(rows).tolist()
    [[1.0, 1.0], [0.0, 2.0], [-1.0, 3.0]]
    """
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OrdinalEncoder

    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    numbers = SimpleImputer(strategy="median", keep_empty_features=True)
    return make_column_transformer(
        (codes, make_column_selector(dtype_exclude="number")), (numbers, make_column_selector(dtype_include="number"))
    )


def read_rows(path: str | TextIO, *, header: bool = True) -> pd.DataFrame:
    """Read a CSV file with pandas; without a header, columns get the names that the command line gives them.

    Examples
    --------
    >>> from io import StringIO
    >>> read_rows(StringIO("1,a"), header=False).columns.tolist()
    ['column_1', 'column_2']
    """
    import pandas as pd

    rows = pd.read_csv(path, header=0 if header else None)
    return rows if header else rows.set_axis([f"column_{number}" for number in range(1, rows.shape[1] + 1)], axis=1)


def measure_peer(
    name: str,
    path: str,
    label: str,
    *,
    leave_out: Sequence[str] = (),
    header: bool = True,
    train_on: str | None = None,
    negative: str | None = None,
    prevalence: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Read, encode, fit, score and evaluate, in this process. A measurement calls it in a process of its own.

    Parameters
    ----------
    name : str
        A detector.
    path : str
        A CSV file.
    label : str
        Its column of labels, never trained on.
    leave_out : sequence of str
        More columns that are not trained on.
    header : bool, default=True
        Whether the first line names the columns.
    train_on : str or None, default=None
        Fit on the rows with this label only.
    negative : str or None, default=None
        The label of normal rows; None if labels are 0 and 1.
    prevalence : float or None, default=None
        True share of anomalies, if the file holds more of them.
    seed : int, default=0
        Of the detector.

    Returns
    -------
    dict
        ``fit_seconds`` (reading, encoding, fitting), ``score_seconds`` (encoding, scoring), and the metrics.

    Raises
    ------
    TableError
        If a column is not there.
    """
    from vae_anomaly.decision.metrics import evaluate_scores

    start = perf_counter()
    rows = read_rows(path, header=header)
    absent = [column for column in (label, *leave_out) if column not in rows]
    if absent:
        raise TableError(f"{path}: expected columns {absent}, found only {rows.columns.tolist()}.")
    labels, features = rows[label].astype(str), rows.drop(columns=[label, *leave_out])
    encoder = ordinal_encoder()
    train = encoder.fit_transform(features if train_on is None else features[labels == train_on])
    entry = detector(name)
    fitted = entry.build(seed, {}).fit(train)
    fit_seconds, start = perf_counter() - start, perf_counter()
    scores = entry.score(fitted, encoder.transform(features))
    score_seconds = perf_counter() - start
    anomalous = labels.astype(float) == 1 if negative is None else labels != negative
    report = evaluate_scores(anomalous.to_numpy(), scores, prevalence=prevalence)
    return {"fit_seconds": fit_seconds, "score_seconds": score_seconds, **report.to_json()}
