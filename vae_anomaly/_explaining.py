"""Why rows score as they do: a line for each row and reason, in the user's columns and units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from vae_anomaly._expecting import Expected, expected, number_edges
from vae_anomaly._inputs import encoded, validated
from vae_anomaly._params import Number, OneOf, check_params
from vae_anomaly._telling import AS_EXPECTED, HIGH, NEVER_SEEN, TOO_HIGH, TOO_LOW, UNUSUAL, of_gap, sentence
from vae_anomaly._usual import CONDITIONAL, PLAIN
from vae_anomaly.decision.reasons import Reasons, Terms, reasons
from vae_anomaly.model.explaining import Outlook, conditional_surprisals, outlooks, present_cells
from vae_anomaly.model.scoring import Surprisals
from vae_anomaly.table.frames import as_table
from vae_anomaly.table.layout import MISSING, UNSEEN, EncodedTable, Layout
from vae_anomaly.training.device import exact_products

_RULES = {
    "n_reasons": (Number(1, integer=True), OneOf((None,))),
    "conditional": (OneOf((True, False)),),
}
_CELLS_AT_ONCE = 131_072


class Explained:
    """What a `VAEDetector` says of its scores: apart from it, for the length of the file alone."""

    def explain(self: Any, X: Any, n_reasons: int | None = 5, *, conditional: bool = True) -> pd.DataFrame:
        """Say why rows score as they do: the columns that are most unlike what is usual for them.

        The surprisal of each cell is held against the surprisals of its own column on held-out normal rows, so that a
        column that is always noisy does not fill the list. No other model is fitted, and nothing is sampled: the same
        row gets the same reasons, whatever rows come with it.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`, such as those that alert. Of no rows there are no reasons.
        n_reasons : int or None, default=5
            Most reasons of a row; where there are fewer columns, these. None gives all columns, and a line for each
            term of the score that belongs to no column: the shares then add up to `anomaly_score`.
        conditional : bool, default=True
            Judge each cell given the others of its row alone: by how much less the row without it would surprise.
            False judges reconstructions, which have seen the cell and can copy an anomaly; it is faster.

        Returns
        -------
        reasons : DataFrame
            A line for each row and reason, the most unusual first:

            - row: place of the row in `X`, from 0; index: its label, where `X` is a pandas frame.
            - rank: 1 for the first reason.
            - column, kind: of the table; column is missing in a line of no column ("KL", "rest", "known frauds").
            - observed: the cell as it is in `X`, None where it is missing.
            - expected: the range that has 80 % of what the model expects, and the median; or the three likeliest
              categories with their probabilities. It is kept within the range of the training rows. The sentence names
              of it what is usual: of the categories those that have 80 % together.
            - surprisal: −log p of the cell, in nats, given the other cells or as reconstructed.
            - share: nats that the column adds to the anomaly score: its weight times its surprisal as reconstructed,
              below 0 where a number fits so well that its density is above one.
            - percentile: share of held-out normal rows with a lower surprisal in this column, in %.
            - unusualness: surprisal above the column's median, in units of its spread and 2 nats; by it reasons rank.
            - direction: "too high", "too low", "unusual value", "unseen" (a level that fit never saw), "unexpectedly
              missing", "unexpectedly present", or "as expected".
            - sentence: the reason in plain words.

        Raises
        ------
        ParameterError
            If `n_reasons` is neither None nor 1 or more.
        SchemaMismatchError
            If the columns differ from those of `fit`.

        Notes
        -----
        A missing cell adds nothing to the score. That it is missing is judged by the column's share of gaps in training
        alone: the model does not know in which rows gaps are usual.

        The score of "iwae" is no sum over columns. Its shares are those of "reconstruction", and the line "rest" has
        what the bound differs by.

        How often the first reason is the right one: one cell of normal rows was made wrong, in three simulated tables
        and three public ones, in rows that alert for it. Where a number is far out, its column came first in 99.7 % of
        the rows with ``conditional=True`` and in 87 % with False; where a category is another row's, in 95 and 93 %;
        where a number is usual by itself and wrong beside the others, in 89 and 75 %. Permutation SHAP of the same
        score had 99.7, 73 and 51 %. ``python -m vae_anomaly.benchmark reasons`` measures it.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from vae_anomaly import VAEDetector
        >>> rng = np.random.default_rng(0)
        >>> net = rng.gamma(9, 9, 2_000).round(2)
        >>> rows = pd.DataFrame({"net": net, "gross": (net * 1.2).round(2), "days": rng.integers(5, 30, 2_000)})
        >>> detector = VAEDetector(max_steps=300, n_members=1).fit(rows)
        >>> odd = pd.DataFrame({"net": [70.0], "gross": [184.0], "days": [14]})
        >>> reasons = detector.explain(odd, n_reasons=2)
        >>> reasons[["rank", "column", "observed", "direction"]]
           rank column observed direction
        0     1  gross    184.0  too high
        1     2    net     70.0   too low

        The whole score, as a sum:

        >>> whole = detector.explain(odd, n_reasons=None)
        >>> bool(np.isclose(whole["share"].sum(), detector.anomaly_score(odd)[0], rtol=1e-12))
        True
        """
        check_params("VAEDetector.explain", {"n_reasons": n_reasons, "conditional": conditional}, _RULES)
        check_is_fitted(self, "offset_")
        X = validated(self, X, reset=False, at_least=0)
        return _explained(self, X, encoded(self.schema_, X, at_least=0), n_reasons, conditional)


def _explained(detector: Any, X: Any, table: EncodedTable, n_reasons: int | None, conditional: bool) -> pd.DataFrame:
    """The lines of all rows, some rows at a time; of no rows, those that a row without cells has, none of them kept."""
    n_columns = max(1, len(detector.schema_.modelled))
    step = max(1, _CELLS_AT_ONCE // min(n_reasons or n_columns, n_columns))
    pieces = []
    rows = table if len(table) else _without_cells(detector.schema_.layout())
    for start in range(0, len(rows), step):
        why = _Why.of_rows(detector, rows[start : start + step], n_reasons, conditional)
        pieces.append(_lines(why, _observed(detector, X, why, start), start, whole=n_reasons is None))
    frame = pd.concat(pieces, ignore_index=True)[: None if len(table) else 0]
    if isinstance(X, pd.DataFrame):
        frame.insert(1, "index", X.index.take(frame["row"].to_numpy()))
    return frame


def _without_cells(layout: Layout) -> EncodedTable:
    """One row, all of it missing."""
    values, angles = (np.full((1, n), np.nan, dtype=np.float32) for n in (layout.n_values, layout.n_angles))
    return EncodedTable(values, angles, np.full((1, layout.n_codes), MISSING, dtype=np.int32))


def score_terms(detector: Any, table: EncodedTable, *, whole: bool) -> tuple[Surprisals, Terms]:
    """Surprisals, and the anomaly score as the sum of its terms.

    Parameters
    ----------
    detector : VAEDetector
        Fitted.
    table : EncodedTable
        Rows.
    whole : bool
        Whether what belongs to no column is needed too: of "iwae" that takes as long as a score.
    """
    found = list(detector._surprisals(table))
    both = Surprisals(np.concatenate([rows.parts for rows in found]), np.concatenate([rows.kl for rows in found]))
    weight, kl_weight = detector._score_weights()
    columns = both.by_column(detector.schema_.layout(), weight)
    rest = kl_weight * both.kl
    if detector.score_type == "iwae" and whole:
        rest = -detector._iwae(table, detector.n_iwae_samples).bound - columns.sum(axis=1)
    return both, Terms(columns, rest, np.zeros(len(table)) + detector._lift(table))


@dataclass(frozen=True)
class _Why:
    """The reasons of some rows, and what was expected in their place."""

    detector: Any
    table: EncodedTable
    terms: Terms
    reasons: Reasons
    present: NDArray[np.bool_]
    conditional: bool

    @classmethod
    def of_rows(cls, detector: Any, table: EncodedTable, n_reasons: int | None, conditional: bool) -> _Why:
        layout = detector.schema_.layout()
        both, terms = score_terms(detector, table, whole=n_reasons is None)
        if conditional:
            with exact_products():
                surprisal = conditional_surprisals(detector.model_, table, detector._score_weights()[1])
        else:
            surprisal = both.by_column(layout)
        usual = detector.usual_[CONDITIONAL if conditional else PLAIN]
        present = present_cells(table, layout)
        found = reasons(surprisal, terms, present, usual, _missing_share(detector), n_reasons)
        return cls(detector, table, terms, found, present, conditional)

    def expectations(self) -> Iterator[tuple[int, NDArray[np.intp], Expected]]:
        """Of each column: its number, the reasons that it is, counted row by row, and what was expected."""
        column = self.reasons.column.ravel()
        row = np.repeat(np.arange(len(self.table)), self.reasons.column.shape[1])
        layout, dof = self.detector.schema_.layout(), self.detector.model_.config.dof
        with exact_products():
            found = outlooks(self.detector.model_, self.table[row], column, hidden=self.conditional)
        tiles = groupby(sorted(found, key=lambda outlook: outlook.part), key=lambda outlook: outlook.part)
        column_of_part, columns = layout.column_of_part, self.detector.schema_.modelled_columns
        parts = sorted((Outlook.of_tiles(list(of)) for _, of in tiles), key=lambda o: int(column_of_part[o.part]))
        edges = number_edges(parts, layout, dof)
        for number, of in groupby(parts, key=lambda outlook: int(column_of_part[outlook.part])):
            of_column = list(of)
            where = of_column[0].rows
            yield number, where, expected(columns[number], of_column, self.table[row[where]], layout, edges)

    def unseen(self) -> NDArray[np.bool_]:
        """Which reasons are levels that fit never saw, of shape (n_rows, n_reasons)."""
        layout = self.detector.schema_.layout()
        columns = layout.column_of_part[layout.n_values + layout.n_angles :]
        unseen = np.zeros((len(self.table), len(layout.columns)), dtype=bool)
        for column, codes in zip(columns, self.table.codes.T, strict=True):
            unseen[:, column] |= codes == UNSEEN
        return np.take_along_axis(unseen, self.reasons.column, axis=1)


def _missing_share(detector: Any) -> NDArray[np.float64]:
    """Share of gaps in training, half a row added to either side."""
    n_rows = detector.schema_.n_rows
    gaps = [min(column.n_missing, n_rows) for column in detector.schema_.modelled_columns]
    return np.asarray((np.array(gaps, dtype=np.float64) + 0.5) / (n_rows + 1))


def _observed(detector: Any, X: Any, why: _Why, start: int) -> NDArray[np.object_]:
    """The cells of the reasons as the table has them, None where they are missing, row by row."""
    table = as_table(X)
    schema = detector.schema_
    by_name = schema.named and not table.is_array
    place = {name: i for i, name in enumerate(table.names if by_name else schema.names)}
    column = why.reasons.column
    out = np.full(column.shape, None, dtype=object)
    some = table.rows(start, start + len(why.table))
    for number, name in enumerate(schema.modelled):
        rows, ranks = np.nonzero((column == number) & why.present[:, [number]])
        if len(rows):
            cells = some.cells(place[name], mixed_as_text=True)
            cells = cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells
            for row, rank, cell in zip(rows, ranks, cells.take(pa.array(rows)).to_pylist(), strict=True):
                out[row, rank] = cell
    return out.ravel()


def _lines(why: _Why, observed: NDArray[np.object_], start: int, *, whole: bool) -> pd.DataFrame:
    """A line for each reason, row by row, and for the terms of no column if the whole score is asked for."""
    found = why.reasons
    n_rows, n_reasons = found.column.shape
    columns = why.detector.schema_.modelled_columns
    kinds = [(column.name, str(column.kind)) for column in columns]
    names, kind = (np.array(texts, dtype=object)[found.column.ravel()] for texts in zip(*kinds, strict=True))
    text, direction, told = _words(why, observed)
    frame = pd.DataFrame(
        {
            "row": np.repeat(np.arange(start, start + n_rows), n_reasons),
            "rank": np.tile(np.arange(1, n_reasons + 1), n_rows),
            "column": names,
            "kind": kind,
            "observed": pd.Series(observed, dtype=object),
            "expected": text,
            "surprisal": found.surprisal.ravel(),
            "share": found.share.ravel(),
            "percentile": found.percentile.ravel(),
            "unusualness": found.unusualness.ravel(),
            "direction": direction,
            "sentence": told,
        }
    )
    return _with_rest(frame, why, start) if whole else frame


def _with_rest(frame: pd.DataFrame, why: _Why, start: int) -> pd.DataFrame:
    """The lines, and after those of each row the terms of the score that belong to no column."""
    score_type, terms = why.detector.score_type, why.terms
    rest = {
        "elbo": [("KL", terms.rest, "the row's place among the training rows in latent space")],
        "iwae": [("rest", terms.rest, "what the bound differs by from the surprisals of the columns")],
        "reconstruction": [],
    }[score_type]
    if why.detector.known_head_ is not None:
        rest.append(("known frauds", terms.known, "likeness to the known frauds"))
    n_columns = why.reasons.column.shape[1]
    pieces = [frame]
    for rank, (kind, share, words) in enumerate(rest, start=n_columns + 1):
        sentences = [f"{words}: {nats:.2f} nats of the score" for nats in share.tolist()]
        piece = {"row": np.arange(start, start + len(share)), "rank": rank, "kind": kind, "share": share}
        line = pd.DataFrame({**piece, "sentence": sentences}).reindex(columns=frame.columns)
        pieces.append(line.astype(frame.dtypes.to_dict()))
    return pd.concat(pieces, ignore_index=True).sort_values(["row", "rank"], kind="stable", ignore_index=True)


def _words(why: _Why, observed: NDArray[np.object_]) -> tuple[NDArray[np.object_], ...]:
    """For each reason what was expected, the direction and the sentence."""
    columns, percentile = why.detector.schema_.modelled_columns, why.reasons.percentile.ravel()
    unseen, by_gap = why.unseen().ravel(), why.reasons.by_gap.ravel()
    text, direction, told = (np.full(len(observed), None, dtype=object) for _ in range(3))
    for number, where, of in why.expectations():
        side = np.where(of.within & (percentile[where] <= HIGH), AS_EXPECTED, UNUSUAL).astype(object)
        side[of.side > 0], side[of.side < 0], side[unseen[where]] = TOO_HIGH, TOO_LOW, NEVER_SEEN
        column = columns[number]
        for i, place in enumerate(where.tolist()):
            text[place], cell = of.text[i], observed[place]
            if cell is None or by_gap[place]:
                direction[place], told[place] = of_gap(column, cell, why.detector.schema_.n_rows)
            else:
                direction[place] = side[i]
                told[place] = sentence(column.name, cell, of.usual[i], side[i], within=bool(of.within[i]))
    return text, direction, told
