"""Every error and warning of the package.

::

    VaeAnomalyError
    ├── ParameterError (ValueError)          a constructor parameter is outside its domain
    ├── TableError (ValueError)              the rows cannot be used as they are
    │   ├── SchemaMismatchError              the columns differ from those seen in fit
    │   └── FileFormatError                  a CSV or Parquet file cannot be read
    ├── TrainingError (RuntimeError)         training could not produce a model
    ├── ModelFileError (ValueError)          a model file is not what it should be
    ├── OutputError (OSError)                a result could not be written
    ├── DownloadError (OSError)              a data set could not be fetched
    └── MissingExtraError (ImportError)      an optional dependency is not installed

    VaeAnomalyWarning (UserWarning)
    ├── SchemaWarning                        a column was set aside, or is named like a label
    ├── TrainingWarning                      the model did not learn, collapsed, or was rolled back
    ├── CalibrationWarning                   a threshold was set otherwise than was asked for
    └── DeviceWarning                        a batch or a device had to be changed
"""

from __future__ import annotations


class VaeAnomalyError(Exception):
    """Base of every error that this package raises on purpose.

    Examples
    --------
    >>> from vae_anomaly import read_labelled
    >>> try:
    ...     read_labelled("payments.txt", "is_fraud")
    ... except VaeAnomalyError as error:
    ...     print(error)
    Expected a file that ends in .csv or .csv.gz or .parquet, but found 'payments.txt'. Convert or rename it.
    """


class ParameterError(VaeAnomalyError, ValueError):
    """A constructor parameter is outside its domain.

    Examples
    --------
    >>> from vae_anomaly import make_transactions
    >>> make_transactions(1_000, fraud_rate=0.9)
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.ParameterError: The 'fraud_rate' parameter of make_transactions must be a number in [0, 0.5]. \
Got 0.9 instead.
    """


class TableError(VaeAnomalyError, ValueError):
    """The rows or columns cannot be used as they are.

    Examples
    --------
    >>> import pandas as pd
    >>> from vae_anomaly import Schema
    >>> Schema.infer(pd.DataFrame({"amount": [1.0, float("inf"), 2.0]}))
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.TableError: Column 'amount' holds 1 infinite number(s), the first in row 2. Expected finite \
numbers or missing cells: replace them by NaN, or by the largest value that makes sense.
    """


class SchemaMismatchError(TableError):
    """The columns differ from those seen in ``fit``.

    Examples
    --------
    >>> import pandas as pd
    >>> from vae_anomaly import Schema
    >>> from vae_anomaly.table.encoding import TableEncoder
    >>> TableEncoder(Schema.infer(pd.DataFrame({"amount": [1.0, 2.0, 3.0]}))).encode(pd.DataFrame({"amuont": [1.0]}))
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.SchemaMismatchError: The columns differ from those seen in fit: 1 missing, 1 new. \
Add, rename or drop columns:
      - amount (float64): missing
      + amuont (float64): not seen in fit (near: 'amount')
    """


class FileFormatError(TableError):
    """A CSV or Parquet file cannot be read as a table.

    Examples
    --------
    >>> from vae_anomaly.table.io import read_table
    >>> read_table("no_such_file.csv")
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.FileFormatError: no_such_file.csv: expected a file, found none of that name. Check the path.
    """


class TrainingError(VaeAnomalyError, RuntimeError):
    """Training could not produce a usable model."""


class ModelFileError(VaeAnomalyError, ValueError):
    """A model file is damaged, altered, of a newer format, or no model file at all.

    Examples
    --------
    >>> from vae_anomaly.artifact import read_artifact
    >>> read_artifact("no_such_model.vaea")
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.ModelFileError: Cannot load the model file 'no_such_model.vaea': expected a model file, \
found nothing of that name. Check the path.
    """


class OutputError(VaeAnomalyError, OSError):
    """A result could not be written, or would overwrite an existing file.

    Examples
    --------
    >>> import tempfile
    >>> from vae_anomaly.table.io import check_target
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     try:
    ...         check_target(file.name)
    ...     except OutputError as error:
    ...         print(str(error).removeprefix(file.name))
    : exists already. Name another file, or allow it to be replaced (--force).
    """


class DownloadError(VaeAnomalyError, OSError):
    """A data set could not be fetched."""


class MissingExtraError(VaeAnomalyError, ImportError):
    """An optional dependency is not installed.

    Parameters
    ----------
    package : str
        The package that could not be imported.
    extra : str
        The extra of ``vae-anomaly`` that brings it.

    Examples
    --------
    >>> str(MissingExtraError("pyod", "benchmark"))
    "This needs 'pyod', which is not installed: pip install 'vae-anomaly[benchmark]'"
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"This needs {package!r}, which is not installed: pip install 'vae-anomaly[{extra}]'")


class VaeAnomalyWarning(UserWarning):
    """Base of every warning that this package gives.

    Examples
    --------
    To have every remark of this package stop the program:

    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", VaeAnomalyWarning)
    """


class SchemaWarning(VaeAnomalyWarning):
    """A column was set aside, or looks like something that should not be trained on.

    Examples
    --------
    >>> import warnings
    >>> import pandas as pd
    >>> from vae_anomaly import Schema
    >>> with warnings.catch_warnings(record=True) as given:
    ...     warnings.simplefilter("always")
    ...     _ = Schema.infer(pd.DataFrame({"amount": [1.0, 2.0, 3.0], "is_fraud": [0, 1, 0]}))
    >>> print(str(given[0].message).split(": ")[0])
    Named like labels, and modelled like any other column
    """


class TrainingWarning(VaeAnomalyWarning):
    """Training went through, but not as it should have."""


class CalibrationWarning(VaeAnomalyWarning):
    """A threshold could not be set as was asked for, and another was, which the message names.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from vae_anomaly import CalibrationRows, TailRate
    >>> with warnings.catch_warnings(record=True) as given:
    ...     warnings.simplefilter("always")
    ...     _ = TailRate(1e-4).calibrate(CalibrationRows.from_arrays(np.arange(300.0)))
    >>> print(str(given[0].message).split(":")[0])
    TailRate(rate=0.0001) could not fit the tail of 300 scores
    """


class DeviceWarning(VaeAnomalyWarning):
    """A batch size or a device had to be changed."""
