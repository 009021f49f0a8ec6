"""What is unusual about alerts, as profiles: which of them are alike, and what those have in common."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_array
from scipy.spatial.distance import squareform
from sklearn.metrics.pairwise import cosine_distances

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
        weight = unusualness / np.where(length > 0, length, 1.0)
        return cls(list(of_feature.size().index), order, feature, unusualness, weight)

    def patterns(self, distance: float) -> Places:
        """The pattern of each alert, from 1, the largest first."""
        feature, kind = self.feature, self._kinds(self.feature)
        if kind.max(initial=0) >= _MOST:
            feature = self._rare_by_strongest(kind)
            kind = self._kinds(feature)
        group = _joined(self._sums(kind, feature), distance)
        first_kind, size = np.unique(group, return_index=True)[1], np.bincount(group[kind])
        labels = np.empty(len(kind), dtype=np.intp)
        labels[self.alert] = np.lexsort((first_kind, -size)).argsort()[group[kind]] + 1
        return labels

    def marks(self, labels: Places) -> list[list[tuple[str, str]]]:
        """The features that weigh most in the mean profile of each pattern, the heaviest first."""
        sums = self._sums(labels[self.alert] - 1, self.feature)
        found = []
        for start, end in pairwise(sums.indptr.tolist()):
            weight, feature = sums.data[start:end], sums.indices[start:end]
            heavy = np.flatnonzero(weight >= _HEAVY * weight.max(initial=0.0))
            found.append([self.names[feature[place]] for place in heavy[np.lexsort((feature[heavy], -weight[heavy]))]])
        return found

    def most_typical(self, labels: Places) -> Places:
        """The alert of each pattern whose profile is nearest to their mean; of equal ones that of middling extent."""
        label = labels[self.alert] - 1
        mean = self._sums(label, self.feature)[label]
        each = self._sums(np.arange(len(label)), self.feature)
        likeness = np.asarray(each.multiply(mean).sum(axis=1)) / np.bincount(label)[label]
        extent = pd.Series(self.unusualness.sum(axis=1))
        away = (extent - extent.groupby(label).transform("median")).abs()
        order = np.lexsort((away, -likeness.round(_ALIKE), label))
        return np.asarray(self.alert[order[np.unique(label[order], return_index=True)[1]]], dtype=np.intp)

    def _kinds(self, feature: Places) -> Places:
        """Which kind each alert is of: those of one kind have the same features, and the same one is the strongest."""
        strongest = np.take_along_axis(self.feature, self._strongest(), axis=1)
        distinct = np.unique(np.hstack([strongest, np.sort(feature, axis=1)]), axis=0, return_inverse=True)
        return np.asarray(distinct[1].reshape(-1), dtype=np.intp)

    def _rare_by_strongest(self, kind: Places) -> Places:
        """Features, where alerts of all but the commonest kinds have their strongest one alone."""
        commonest = np.argsort(-np.bincount(kind), kind="stable")[:_MOST]
        kept = np.isin(kind, commonest)[:, None] | (np.arange(self.feature.shape[1]) == self._strongest())
        return np.asarray(np.where(kept, self.feature, -1))

    def _strongest(self) -> Places:
        return np.asarray(self.weight.argmax(axis=1)[:, None], dtype=np.intp)

    def _sums(self, group: Places, feature: Places) -> csr_array:
        """Profiles added up, a line for each group."""
        alert, rank = np.nonzero(feature >= 0)
        shape = group.max(initial=-1) + 1, len(self.names)
        return csr_array((self.weight[alert, rank], (group[alert], feature[alert, rank])), shape=shape)


def _joined(profiles: csr_array, distance: float) -> Places:
    """The cluster of each profile."""
    if profiles.shape[0] < 2:
        return np.zeros(profiles.shape[0], dtype=np.intp)
    tree = linkage(squareform(cosine_distances(profiles), checks=False), method="average")
    return np.asarray(fcluster(tree, distance, criterion="distance") - 1, dtype=np.intp)
