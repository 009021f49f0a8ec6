"""What is unusual about alerts, as profiles: which of them are alike, and what those have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics.pairwise import cosine_distances
from sklearn.preprocessing import normalize

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

_MOST = 2_000
"""Kinds of profiles that are compared pair by pair, which takes memory by the square of their number."""

_HEAVY = 1 / 3
"""Of the heaviest feature of a pattern: what weighs less is not named."""

_ALIKE = 6
"""Digits by which two alerts are equally typical of their pattern."""


@dataclass(frozen=True, eq=False)
class Profiles:
    """What is unusual about alerts: arrays of shape (n_alerts, n_reasons).

    They are in an order of their own, by what they hold, so that no sum over them depends on the order of the rows.

    Parameters
    ----------
    names : list of tuple of str
        Column and direction of each feature.
    alert : intp ndarray of shape (n_alerts,)
        Place of each among the alerts.
    feature : intp ndarray
        Which features an alert has, rising; -1 where there are no more.
    unusualness : float64 ndarray
        Of these; 0 where there are no more.
    weight : float64 ndarray
        The same, scaled to length one.
    """

    names: list[tuple[str, str]]
    alert: Places
    feature: Places
    unusualness: Floats
    weight: Floats

    @classmethod
    def of_lines(cls, lines: pd.DataFrame, rows: Places) -> Profiles:
        lines = lines[lines["unusualness"] > 0]
        of_feature = lines.groupby(["column", "direction"])
        lines = lines.assign(feature=of_feature.ngroup(), alert=np.searchsorted(rows, lines["row"]))
        lines = lines.sort_values(["alert", "feature"])
        rank = lines.groupby("alert").cumcount().to_numpy()
        shape = len(rows), rank.max(initial=0) + 1
        feature, unusualness = np.full(shape, -1, dtype=np.intp), np.zeros(shape)
        feature[lines["alert"], rank] = lines["feature"]
        unusualness[lines["alert"], rank] = lines["unusualness"]
        order = np.lexsort((*unusualness.T, *feature.T))
        feature, unusualness = feature[order], unusualness[order]
        length = np.linalg.norm(unusualness, axis=1, keepdims=True)
        return cls(
            list(of_feature.size().index), order, feature, unusualness, unusualness / np.where(length > 0, length, 1.0)
        )

    def patterns(self, distance: float) -> Places:
        """The pattern of each alert, from 1, the largest first."""
        feature, kind = self.feature, _places(self.feature)
        if kind.max(initial=0) >= _MOST:
            feature, kind = self._rare_by_strongest(kind)
        group = _joined(self._sums(kind, feature), distance)[kind]
        size = np.bincount(group)
        number = np.empty(len(size), dtype=np.intp)
        number[np.argsort(-size, kind="stable")] = np.arange(1, len(size) + 1)
        return self._of_alerts(number[group])

    def marks(self, labels: Places) -> list[list[tuple[str, str]]]:
        """The features that weigh most in the mean profile of each pattern, the heaviest first."""
        weight = self._sums(labels[self.alert] - 1, self.feature).toarray()
        heavy = (weight > 0) & (weight >= _HEAVY * weight.max(axis=1, initial=0.0, keepdims=True))
        order = np.argsort(-weight, axis=1, kind="stable")
        return [
            [self.names[feature] for feature in features[heavy[pattern, features]]]
            for pattern, features in enumerate(order)
        ]

    def most_typical(self, labels: Places) -> Places:
        """The alert of each pattern whose profile is nearest to their mean; of equal ones that of middling extent."""
        label = labels[self.alert]
        mean = normalize(self._sums(label - 1, self.feature)).toarray()
        likeness = np.where(self.feature >= 0, mean[label[:, None] - 1, self.feature] * self.weight, 0.0).sum(axis=1)
        extent = pd.Series(self.unusualness.sum(axis=1))
        away = (extent - extent.groupby(label).transform("median")).abs()
        order = np.lexsort((self.alert, away, -likeness.round(_ALIKE), label))
        return self.alert[order[np.unique(label[order], return_index=True)[1]]]

    def _rare_by_strongest(self, kind: Places) -> tuple[Places, Places]:
        """Features and kinds, where alerts of all but the commonest kinds have their strongest feature alone."""
        commonest = np.argsort(-np.bincount(kind), kind="stable")[:_MOST]
        strongest = np.arange(self.feature.shape[1]) == self.weight.argmax(axis=1)[:, None]
        feature = np.where(np.isin(kind, commonest)[:, None] | strongest, self.feature, -1)
        return feature, _places(np.sort(feature, axis=1))

    def _sums(self, group: Places, feature: Places) -> csr_array:
        """Profiles added up, a line for each group."""
        alert, rank = np.nonzero(feature >= 0)
        shape = group.max(initial=-1) + 1, len(self.names)
        return csr_array((self.weight[alert, rank], (group[alert], feature[alert, rank])), shape=shape)

    def _of_alerts(self, values: Places) -> Places:
        out = np.empty_like(values)
        out[self.alert] = values
        return out


def _places(features: Places) -> Places:
    """Which of the distinct lines each line is."""
    return np.unique(features, axis=0, return_inverse=True)[1].reshape(-1)


def _joined(profiles: csr_array, distance: float) -> Places:
    """The cluster of each profile."""
    if profiles.shape[0] < 2:
        return np.zeros(profiles.shape[0], dtype=np.intp)
    clusters = AgglomerativeClustering(None, metric="precomputed", linkage="average", distance_threshold=distance)
    return np.asarray(clusters.fit_predict(cosine_distances(profiles)), dtype=np.intp)
