"""What is shown of a text cannot steer what shows it, and says what it was."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly._visible import visible

TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
ANY = st.text(st.characters() | st.sampled_from("\x00\x1b\x9b\t\n\r\x7f" + TURNING))


@given(ANY)
def test_nothing_is_left_that_steers(text):
    assert not any(unicodedata.category(letter) == "Cc" or letter in TURNING for letter in visible(text))


@given(ANY)
def test_lines_and_tabs_are_kept_where_they_part_words(text):
    parted = visible(text, lines=True)
    kept = [letter for letter in parted if letter in "\t\n"]
    assert kept == [letter for letter in text if letter in "\t\n"]
    assert visible(parted) == visible(text)


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs"])))
def test_other_text_stays_as_it_is_from_right_to_left_too(text):
    assert visible(text) == text
    assert visible(f"{text}שלום 🙂") == f"{text}שלום 🙂"
