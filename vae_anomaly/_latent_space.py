"""The latent space of a fitted detector: where rows lie in it, and which rows its places stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from vae_anomaly._inputs import encoded
from vae_anomaly._latent_places import PATHS, days_along, one_row_or_more, places_along, places_of
from vae_anomaly._made_rows import made_rows
from vae_anomaly._params import Number, OneOf, Rule, check_params
from vae_anomaly.errors import TableError
from vae_anomaly.model.decoding import likeliest_rows
from vae_anomaly.model.scoring import latent_means
from vae_anomaly.table.encoding import TableEncoder
from vae_anomaly.training.device import exact_products

_RULES: dict[str, tuple[Rule, ...]] = {"steps": (Number(2, 1_000_000, integer=True),), "path": (OneOf(PATHS),)}


class LatentSpace(TransformerMixin):
    """What a `VAEDetector` knows of its latent space: apart from it, for the length of the file alone."""

    def transform(self: Any, X: Any) -> NDArray[np.float64]:
        """Latent position of each row: the posterior means of all members, side by side.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`.

        Returns
        -------
        means : ndarray of shape (n_samples, n_members * latent)
            Or a frame, as `set_output` says.
        """
        table = self._encode(X)
        with exact_products():
            return latent_means(self.model_, table)

    def get_feature_names_out(self: Any, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the latent dimensions, "latent0", "latent1", ...

        Parameters
        ----------
        input_features : ignored
            Here for scikit-learn's API.

        Returns
        -------
        names : ndarray of str
            One for each column of `transform`.
        """
        check_is_fitted(self, "offset_")
        config = self.model_.config
        return np.asarray([f"latent{i}" for i in range(config.n_members * config.latent)], dtype=object)

    def reconstruct(self: Any, X: Any) -> Any:
        """The row that the model would have expected in place of each row.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`.

        Returns
        -------
        rows : frame of the library of `X`, or ndarray
            Columns and dtypes of `fit`. Missing cells are filled in. A date keeps its day and gets the expected time
            of day; columns that were set aside are copied.

        See Also
        --------
        inverse_transform : The same from latent positions alone.
        """
        check_is_fitted(self, "offset_")
        X = self._validated(X, reset=False)
        table = encoded(self.schema_, X)
        with exact_products():
            cells = likeliest_rows(self.model_, latent_means(self.model_, table))
        return TableEncoder(self.schema_, owner="VAEDetector").decode(cells, X)

    def inverse_transform(self: Any, Z: Any) -> Any:
        """The rows that latent positions stand for, in the columns of `fit`.

        ``inverse_transform(transform(X))`` has the cells of ``reconstruct(X)``, to the last bit, but for what no
        latent position knows: the days of dates, and the columns that were set aside.

        Parameters
        ----------
        Z : array-like or frame of shape (n_samples, n_members * latent)
            Posterior means as `transform` gives them, or any other places. The columns of a frame are taken by name.

        Returns
        -------
        rows : frame, or ndarray for a detector that was fitted on an array
            Columns and dtypes of `fit`, with the library and index of `Z` if that is a frame, else of pandas. Every
            modelled cell is filled in. A date has the expected time of day, on a day near the last one of `fit` that
            has the expected weekday and place in month and year; a column that was set aside is missing.

        Raises
        ------
        TableError
            If `Z` has another shape or other names than `transform` gives, or a number in it is not finite or above
            1e6.

        Notes
        -----
        A member's position is decoded by that member, and the members vote by the mean of what their decoders say, as
        in `reconstruct`. Columns are at their likeliest value each: such rows are more typical than real ones are, and
        no sample of them; see `sample` for rows with the spread of real ones.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from vae_anomaly import VAEDetector
        >>> rng = np.random.default_rng(0)
        >>> net = rng.gamma(9, 9, 2_000).round(2)
        >>> rows = pd.DataFrame({"net": net, "gross": (net * 1.2).round(2), "shop": rng.choice(["a", "b"], 2_000)})
        >>> detector = VAEDetector(max_steps=100, n_members=1).fit(rows)
        >>> Z = detector.transform(rows)
        >>> detector.inverse_transform(Z).equals(detector.reconstruct(rows))
        True
        >>> detector.inverse_transform(Z.mean(axis=0, keepdims=True)).columns.tolist()
        ['net', 'gross', 'shop']
        """
        check_is_fitted(self, "offset_")
        places = places_of(Z, self.get_feature_names_out().tolist(), self.model_.config.n_members)
        with exact_products():
            cells = likeliest_rows(self.model_, places)
        return made_rows(self.schema_, cells, like=Z, index=Z.index if isinstance(Z, pd.DataFrame) else None)

    def interpolate(self: Any, a: Any, b: Any, steps: int = 10, *, path: str = "linear") -> Any:
        """Rows on the way from one row to another through latent space.

        Parameters
        ----------
        a, b : mapping, Series, array of shape (n_features,), or table of shape (n_samples, n_features)
            A row each, with the columns of `fit`; or tables of as many rows, which are taken in pairs.
        steps : int, default=10
            Rows from `a` to `b`, both ends included; 2 or more.
        path : {"linear", "spherical"}, default="linear"
            Along the straight line between their posterior means; or along the arc around the origin, member by
            member, on which the length of the position changes evenly from one end's to the other's (Shoemake 1985;
            White 2016, "Sampling generative networks").

        Returns
        -------
        rows : frame of the library of `a`, or ndarray for a detector that was fitted on an array
            Columns and dtypes of `fit`; `steps` rows for each pair, pair after pair. The first one has the modelled
            cells of ``reconstruct(a)``, and the last one those of ``reconstruct(b)``. A date has the expected time of
            day, on the days from that of `a` to that of `b`; if one is missing, on the day of the other, and if both
            are, on a likely day near the last one of `fit`. Columns that were set aside are missing: these rows are
            nobody's.

        Raises
        ------
        ParameterError
            If `steps` is no whole number of at least 2, or `path` is neither of the two.
        TableError
            If `a` and `b` do not have as many rows, or the columns differ from those of `fit`.

        Notes
        -----
        A cell that is missing in `a` or `b` is left out of the position of that row, as in a score, and nothing is
        filled in before: rows need not miss the same cells, and every row on the way is complete.

        On simulated payments the rows half-way are as typical by either path: median scores of 2.4 to 3.7 nats over
        three seeds, and 2.0 to 3.1 at the ends.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from vae_anomaly import VAEDetector
        >>> rng = np.random.default_rng(0)
        >>> net = rng.gamma(9, 9, 2_000).round(2)
        >>> rows = pd.DataFrame({"net": net, "gross": (net * 1.2).round(2), "shop": rng.choice(["a", "b"], 2_000)})
        >>> detector = VAEDetector(max_steps=300, n_members=1).fit(rows)
        >>> a, b = {"net": 40, "gross": 48, "shop": "a"}, {"net": 150, "gross": None, "shop": "b"}
        >>> way = detector.interpolate(a, b, steps=5)
        >>> way["shop"].tolist()[::4], bool((way["net"].diff().sum() > 50))
        (['a', 'b'], True)
        >>> way.head(1).equals(detector.reconstruct(pd.DataFrame([a])))
        True
        """
        check_params("VAEDetector.interpolate", {"steps": steps, "path": path}, _RULES)
        check_is_fitted(self, "offset_")
        ends = [self._validated(one_row_or_more(end, self.schema_), reset=False) for end in (a, b)]
        tables = [encoded(self.schema_, end) for end in ends]
        if len(tables[0]) != len(tables[1]):
            raise TableError(
                f"Expected as many rows in 'b' as in 'a', {len(tables[0]):,}, to take them in pairs: found "
                f"{len(tables[1]):,}. Give one row each, or two tables of one length."
            )
        with exact_products():
            first, last = (latent_means(self.model_, table) for table in tables)
            places = places_along(first, last, steps, path, self.model_.config.n_members)
            cells = likeliest_rows(self.model_, places)
        return made_rows(self.schema_, cells, days_along(self.schema_, ends, steps), like=ends[0])
