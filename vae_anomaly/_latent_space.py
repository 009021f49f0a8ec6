"""The latent space of a fitted detector: where rows lie in it, and which rows its places stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from vae_anomaly._inputs import encoded
from vae_anomaly.model.scoring import latent_means, reconstructions
from vae_anomaly.table.encoding import TableEncoder
from vae_anomaly.training.device import exact_products


class LatentSpace(TransformerMixin):  # type: ignore[misc]
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
        """
        check_is_fitted(self, "offset_")
        X = self._validated(X, reset=False)
        encoder = TableEncoder(self.schema_, owner="VAEDetector")
        with exact_products():
            return encoder.decode(reconstructions(self.model_, encoded(self.schema_, X)), X)
