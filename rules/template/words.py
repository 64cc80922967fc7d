"""Upper case, lower case and titles, character by character as Go does it."""

from __future__ import annotations

import unicodedata


def to_upper(text: str) -> str:
    """Make every letter a capital one that has a single one."""
    return "".join(map(_upper, text))


def to_lower(text: str) -> str:
    """Make every letter a small one."""
    return "".join(map(_lower, text))


def title(text: str) -> str:
    """Make the first letter of each word a capital one, and leave the others.

    Words are those of Unicode's word boundaries: don't and a.b are one word, a-b are two.
    """
    shown: list[str] = []
    in_word = False
    previous_joins = False
    for character in text:
        joins = character in _JOINERS
        if joins and previous_joins:
            in_word = False
        if character.isupper() or character.islower() or character.istitle():
            shown.append(character if in_word else character.title())
            in_word = True
        else:
            shown.append(character)
            if not joins and not _continues(character):
                in_word = False
        previous_joins = joins
    return "".join(shown)


_JOINERS = "'.:\u00b7\u0387\u055f\u05f4\u2018\u2019\u2024\u2027\ufe13\ufe52\ufe55\uff07\uff0e\uff1a"
_DOTTED_CAPITAL_I = "\u0130"


def _upper(character: str) -> str:
    upper = character.upper()
    if len(upper) == 1:
        return upper
    # One capital letter where there is one; those that would become two stay.
    capital = character.title()
    return capital if len(capital) == 1 else character


def _lower(character: str) -> str:
    return "i" if character == _DOTTED_CAPITAL_I else character.lower()


def _continues(character: str) -> bool:
    """Return whether a word goes on over this character."""
    category = unicodedata.category(character)
    if category == "Lo" and unicodedata.east_asian_width(character) == "W":
        # Ideographs and syllables stand alone; Korean makes words.
        return unicodedata.name(character, "").startswith("HANGUL")
    return category[0] in "LM" or category in ("Nd", "Nl", "Pc", "Cf")
