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
    └── DeviceWarning                        a batch or a device had to be changed
"""

from __future__ import annotations


class VaeAnomalyError(Exception):
    """Base of every error that this package raises on purpose."""


class ParameterError(VaeAnomalyError, ValueError):
    """A constructor parameter is outside its domain."""


class TableError(VaeAnomalyError, ValueError):
    """The rows or columns cannot be used as they are."""


class SchemaMismatchError(TableError):
    """The columns differ from those seen in ``fit``."""


class FileFormatError(TableError):
    """A CSV or Parquet file cannot be read as a table."""


class TrainingError(VaeAnomalyError, RuntimeError):
    """Training could not produce a usable model."""


class ModelFileError(VaeAnomalyError, ValueError):
    """A model file is damaged, altered, of a newer format, or no model file at all."""


class OutputError(VaeAnomalyError, OSError):
    """A result could not be written, or would overwrite an existing file."""


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
    """Base of every warning that this package gives."""


class SchemaWarning(VaeAnomalyWarning):
    """A column was set aside, or looks like something that should not be trained on."""


class TrainingWarning(VaeAnomalyWarning):
    """Training went through, but not as it should have."""


class DeviceWarning(VaeAnomalyWarning):
    """A batch size or a device had to be changed."""
