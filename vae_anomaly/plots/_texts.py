"""Text from the user's table, as it can be drawn."""

from __future__ import annotations

import unicodedata
from typing import Final

_UNKNOWN: Final = "□"


def shown(text: str, most: int) -> str:
    r"""Text on one line of at most so many letters, in letters that the font has.

    matplotlib would take what stands between two dollars for a formula, and warn of every letter that it does not know,
    as fonts know no emoji.

    Parameters
    ----------
    text : str
        Such as a column and a cell.
    most : int
        Letters; of a longer text the beginning is kept.

    Returns
    -------
    str
        With a box for each letter that the font does not have.

    Examples
    --------
    >>> print(shown("paid\n$5 to $9", 40), shown("x" * 100, 5), shown("\U0001f4f1", 5))
    paid \$5 to \$9 xxxx… □
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    line = " ".join("".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text).split())
    cut = line if len(line) <= most else f"{line[: most - 1].rstrip()}…"
    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in FontProperties().get_family()]
    known = {letter: any(font.get_char_index(ord(letter)) for font in fonts) for letter in set(cut)}
    return "".join(letter if known[letter] else _UNKNOWN for letter in cut).replace("$", r"\$")
