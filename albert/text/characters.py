"""How tokenization changes single characters, as tables for str.translate."""

import unicodedata
from typing import Callable

_CJK_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class CharacterTable(dict):
    """A table for str.translate that calls `replace(character)` once for each distinct character.

    Text is then translated in C, however slow `replace` is. `replace` returns a str; "" drops the
    character.
    """

    def __init__(self, replace: Callable[[str], str]) -> None:
        super().__init__()
        self._replace = replace

    def __missing__(self, code_point):
        replacement = self._replace(chr(code_point))
        self[code_point] = replacement
        return replacement


def _drop_combining(character):
    # A lone surrogate, which JSON allows, has no UTF-8 encoding, and SentencePiece needs one.
    if unicodedata.category(character) == "Cs":
        return "\ufffd"
    return "" if unicodedata.combining(character) else character


def _clean_and_space_ideographs(character):
    # Tabs and line breaks are control characters too, but they separate words.
    if character in "\t\n\r":
        return " "
    if character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf"):
        return ""
    if any(first <= ord(character) <= last for first, last in _CJK_IDEOGRAPHS):
        return f" {character} "
    return character


def _space_punctuation(character):
    # ASCII symbols such as $, + and ^ count as punctuation too.
    is_ascii_symbol = "!" <= character <= "~" and not character.isalnum()
    if is_ascii_symbol or unicodedata.category(character).startswith("P"):
        return f" {character} "
    return character


def _strip_accents_and_space_punctuation(character):
    return "" if unicodedata.category(character) == "Mn" else _space_punctuation(character)


DROP_COMBINING = CharacterTable(_drop_combining)
CLEAN_AND_SPACE_IDEOGRAPHS = CharacterTable(_clean_and_space_ideographs)
SPACE_PUNCTUATION = CharacterTable(_space_punctuation)
STRIP_ACCENTS_AND_SPACE_PUNCTUATION = CharacterTable(_strip_accents_and_space_punctuation)
