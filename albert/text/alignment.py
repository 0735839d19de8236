"""Which characters of a text each of its tokens stands for, in time linear in the text.

Text is cleaned up before it is cut into tokens: characters are dropped, decomposed and lower-cased.
All of that works character by character, so each character of the clean text has a place in the
original one; and the tokens, one after another, spell the clean text.
"""

import functools
from typing import List, NamedTuple

from albert import tokenization
from albert.tokenization import SPIECE_UNDERLINE

# How far a character of a piece is looked for where a piece does not spell the clean text, as when
# the SentencePiece model has a clean-up of its own.
_LOOK_AHEAD = 16


class AlignedTokens(NamedTuple):
    """The tokens of a text.

    Attributes:
        ids: token ids, as from FullTokenizer.encode.
        starts: place in the text of the first character of each token. With SentencePiece that is
            the white space before a word.
        ends: place of the last one, not before the first. Both never decrease.
    """

    ids: List[int]
    starts: List[int]
    ends: List[int]


def encode_aligned(tokenizer, text):
    """Returns the AlignedTokens of a text, given a FullTokenizer."""
    tokens = tokenizer.tokenize(text)
    if tokenizer.sp_model is not None:
        clean, places = _clean(text, tokenizer.do_lower_case)
        spans = _spans_of_pieces(tokens, clean)
    else:
        clean, places = _clean_words(tokenizer.basic_tokenizer, text)
        spans = _spans_of_wordpieces(tokens, clean, tokenizer.wordpiece_tokenizer.unk_token)
    starts = [places[first] for first, _ in spans]
    ends = [places[last] for _, last in spans]
    return AlignedTokens(tokenizer.encode(text), starts, ends)


def _clean(text, lower):
    """Returns (the text as preprocess_text makes it, the place in `text` of each character)."""
    clean = tokenization.preprocess_text(text, lower=lower)
    places = []
    has_begun = False
    space = None  # place of the white space after the last word
    for place, character in enumerate(text):
        if character.isspace():
            space = place if has_begun and space is None else space
            continue
        has_begun = True
        if space is not None:
            places.append(space)
            space = None
        places.extend([place] * _length_of(character))
    return clean, places


@functools.lru_cache(maxsize=None)
def _length_of(character):
    """Returns how many characters preprocess_text makes of one that is not white space."""
    return len(tokenization.preprocess_text(character, remove_space=False))


def _spans_of_pieces(pieces, clean):
    """Returns [(first, last)] of SentencePiece's pieces, places in the clean text."""
    spans = []
    at, final = 0, len(clean) - 1
    for piece in pieces:
        first = last = None
        for character in piece:
            if character == SPIECE_UNDERLINE:
                # A mark that stands for no space is one that SentencePiece has put in by itself.
                found = at if clean[at : at + 1] == " " else None
            else:
                found = clean.find(character, at, at + _LOOK_AHEAD)
                found = None if found < 0 else found
            if found is not None:
                first = found if first is None else first
                last, at = found, found + 1
        if first is None:
            first = last = min(at, final)
        spans.append((first, last))
    return spans


def _clean_words(basic_tokenizer, text):
    """Returns (the words that basic_tokenizer makes, side by side, the place of each character)."""
    words = basic_tokenizer.tokenize(text)
    places = []
    for place, character in enumerate(text):
        # One character gives several words where it is decomposed into punctuation.
        places.extend([place] * sum(len(word) for word in _words_of(basic_tokenizer, character)))
    return words, places


@functools.lru_cache(maxsize=None)
def _words_of(basic_tokenizer, character):
    return basic_tokenizer.tokenize(character)


def _spans_of_wordpieces(tokens, words, unk_token):
    """Returns [(first, last)] of WordPiece's tokens, places in the words side by side."""
    spans = []
    remaining = iter(tokens)
    begin = 0
    for word in words:
        at, end = begin, begin + len(word)
        while at < end:
            token = next(remaining)
            mark = 2 if at > begin else 0  # "##"
            length = len(word) if token == unk_token else len(token) - mark
            spans.append((at, at + length - 1))
            at += length
        begin = end
    return spans
