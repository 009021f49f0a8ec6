"""What turns a table into numbers, for detectors that know nothing else: learnt from the training rows, unlabelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Z_SCORES = "z-scores"


def z_scores() -> Any:
    """Numbers only: mean 0 and deviation 1 in each column.

    Examples
    --------
    >>> z_scores().fit_transform(np.array([[1.0], [3.0]])).tolist()
    [[-1.0], [1.0]]
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    return make_pipeline(FunctionTransformer(_as_float64), StandardScaler())


def ordinal_encoder() -> Any:
    """Text as the rank of its category, -1 where it is missing or new; a missing number is the median of its column.

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


def ordinal_codes() -> Any:
    """`clocked`, then `ordinal_encoder`, then z-scores: a tree sees no difference, and distances need them.

    Examples
    --------
    >>> import pandas as pd
    >>> ordinal_codes().fit_transform(pd.DataFrame({"city": ["Oslo", "Bergen"]})).tolist()
    [[1.0], [-1.0]]
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    return make_pipeline(FunctionTransformer(clocked), ordinal_encoder(), StandardScaler())


def one_hot_columns() -> Any:
    """`clocked`; then a column of 0 and 1 for each category, z-scores of the numbers, and no constant columns.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"city": ["Oslo", "Bergen"], "amount": [1.0, 3.0], "bank": [7, 7]})
    >>> one_hot_columns().fit(rows).transform(rows.assign(city="Rome")).tolist()
    [[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]
    """
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.feature_selection import VarianceThreshold
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_exclude="number")),
        (
            make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
    )
    return make_pipeline(FunctionTransformer(clocked), columns, VarianceThreshold())


ENCODINGS: dict[str, Callable[[], Any]] = {
    Z_SCORES: z_scores,
    "ordinal": ordinal_codes,
    "one-hot": one_hot_columns,
}


def clocked(rows: pd.DataFrame) -> pd.DataFrame:
    """Moments as hour of the day and day of the week: no later moment would be in any list of categories.

    Examples
    --------
    >>> import pandas as pd
    >>> clocked(pd.DataFrame({"paid": pd.to_datetime(["2019-05-01 18:30"])})).to_dict("records")
    [{'paid hour': 18.5, 'paid weekday': 2}]
    """
    moments = rows.select_dtypes("datetime")
    clocks = {}
    for name, moment in moments.items():
        clocks[f"{name} hour"] = moment.dt.hour + moment.dt.minute / 60
        clocks[f"{name} weekday"] = moment.dt.day_of_week
    return rows.drop(columns=moments.columns).assign(**clocks)


def _as_float64(rows: Any) -> NDArray[np.float64]:
    return np.asarray(rows, dtype=np.float64)
