"""A report in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from vae_anomaly.report._pictures import check_matplotlib
from vae_anomaly.report.facts import Report
from vae_anomaly.report.render import check_jinja2, render
from vae_anomaly.report.summary import summarise
from vae_anomaly.table.io import check_target, write_lines


def write_report(
    detector: Any, X: Any, path: str | os.PathLike[str], *, overwrite: bool = False, **wishes: Any
) -> Path:
    """Score rows, and write a page about those that alert, which needs neither a network nor any other file.

    Parameters
    ----------
    detector : VAEDetector, or CalibratedDetector of one
        Fitted.
    X : DataFrame (pandas, polars, pyarrow) or array-like of shape (n_samples, n_features)
        Rows with the columns of fit. Other columns of a frame are shown, and not scored.
    path : path-like
        By custom ``*.html``.
    overwrite : bool, default=False
        Replace an existing file.
    **wishes
        As in `summarise`: `groups`, `time`, `entity`, `max_alerts`, `n_nearest`, `fixed`, `title` and so on.

    Returns
    -------
    Path
        Where the page is.

    Raises
    ------
    OutputError
        The file exists and may not be overwritten, or cannot be written.
    MissingExtraError
        jinja2 or matplotlib is not installed.
    ParameterError, TableError
        As in `summarise`.

    Notes
    -----
    The page holds the rows that it lists, so it is as confidential as they are. Cells are shown as text whatever is in
    them, and a browser that keeps to the page's content security policy lets nothing in it run or load.

    Examples
    --------
    >>> import os, tempfile
    >>> from vae_anomaly import VAEDetector, make_transactions
    >>> from vae_anomaly.report import write_report
    >>> rows = make_transactions(1_000, random_state=0)[["timestamp", "amount", "country", "currency", "city"]]
    >>> detector = VAEDetector(max_steps=100, n_members=1).fit(rows)
    >>> page = write_report(detector, rows, os.path.join(tempfile.mkdtemp(), "alerts.html"))
    >>> page.read_text(encoding="utf-8").splitlines()[0]
    '<!doctype html>'
    """
    check_report_target(path, force=overwrite)
    return write_page(summarise(detector, X, **wishes), path, overwrite=overwrite)


def check_report_target(path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Raise what stands against a page there, before the work: a missing extra, or an `OutputError`."""
    check_jinja2()
    check_matplotlib()
    check_target(path, force=force)


def write_page(report: Report, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a report that `summarise` made, as a page.

    Parameters
    ----------
    report : Report
        What to show.
    path, overwrite
        As in `write_report`.

    Returns
    -------
    Path
        Where the page is.
    """
    write_lines([render(report)], path, force=overwrite)
    return Path(path)
