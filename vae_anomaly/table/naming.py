"""What the name of a column says about it."""

from __future__ import annotations

import re

_IDENTIFIER_WORDS = frozenset(
    {"id", "no", "num", "number", "nr", "key", "uuid", "guid", "hash", "pan", "iban", "account"}
)
_CODE_WORDS = frozenset({"zip", "zipcode", "postcode", "code", "mcc", "bin"})
_LABELS = frozenset(
    {
        "class",
        "label",
        "labels",
        "target",
        "y",
        "fraud",
        "isfraud",
        "txfraud",
        "txfraudscenario",
        "fraudfound",
        "fraudfoundp",
        "fraudflag",
        "isflaggedfraud",
        "fraudlabel",
        "fraudbool",
        "fraudreported",
        "fraudtype",
        "fraudulent",
        "isfraudulent",
        "anomaly",
        "isanomaly",
        "outlier",
        "isoutlier",
        "groundtruth",
        "typology",
    }
)


def last_word(name: str) -> str:
    """The last word of a snake-cased or camel-cased name, in lower case.

    Examples
    --------
    >>> last_word("cc_num"), last_word("customerID"), last_word("paid")
    ('num', 'id', 'paid')
    """
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return words[-1].lower() if words else ""


def is_identifier_name(name: str) -> bool:
    """Whether a name ends in a word such as id, number or hash."""
    return last_word(name) in _IDENTIFIER_WORDS


def is_code_name(name: str) -> bool:
    """Whether a name ends in a word for numbers that are names of things, such as zip, code or id."""
    return last_word(name) in _IDENTIFIER_WORDS | _CODE_WORDS


def is_label_name(name: str) -> bool:
    """Whether a name is one that data sets give to their labels, such as ``is_fraud`` or ``Class``."""
    return re.sub(r"[^a-z0-9]", "", name.lower()) in _LABELS
