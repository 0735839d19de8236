"""Which characters of a text each of its tokens covers, in time linear in the text.

A text is cleaned before it is cut into tokens: characters are dropped, decomposed and lower-cased.
Each of these steps looks at one character at a time, so every character of the clean text has an
offset in the original text. The tokens, concatenated, spell the clean text.
"""

import functools
import re
from typing import List, NamedTuple, Optional, Tuple

from albert import tokenization
from albert.tokenization import SPIECE_UNDERLINE, BasicTokenizer, FullTokenizer

# How far ahead to search for a character of a piece if the pieces do not spell the clean text, for
# example because the SentencePiece model normalizes it once more.
_LOOK_AHEAD = 16

# A space, after characters that the released SentencePiece models drop or take for white space, and
# Python does not.
_NEXT_SPACE = re.compile("[\x01-\x08\x0e-\x1b\x7f\x8f\x9f\u200b-\u200f\u2581\ufeff\ufffd]* ")

Spans = List[Tuple[int, int]]


class AlignedTokens(NamedTuple):
    """The tokens of a text. Neither `starts` nor `ends` ever decreases.

    Attributes:
        ids: token ids, as from FullTokenizer.encode.
        starts: offset in the text of the first character of each token. With SentencePiece, that
            of the first token of a word is the white space before the word.
        ends: offset of its last character, at least its start.
    """

    ids: List[int]
    starts: List[int]
    ends: List[int]


def encode_aligned(tokenizer: FullTokenizer, text: str) -> AlignedTokens:
    """Returns the tokens of a text with their offsets."""
    tokens = tokenizer.tokenize(text)
    if tokenizer.sp_model is not None:
        clean, offsets = _clean(text, tokenizer.do_lower_case)
        spans = _spans_of_pieces(tokens, clean)
    else:
        words, offsets = _clean_words(tokenizer.basic_tokenizer, text)
        spans = _spans_of_wordpieces(tokens, words, tokenizer.wordpiece_tokenizer.unk_token)
    starts = [offsets[first] for first, _ in spans]
    ends = [offsets[last] for _, last in spans]
    return AlignedTokens(tokenizer.encode(text), starts, ends)


def _clean(text: str, lower: bool) -> Tuple[str, List[int]]:
    """Returns the text as preprocess_text cleans it, and the offset in `text` of each character."""
    clean = tokenization.preprocess_text(text, lower=lower)
    offsets: List[int] = []
    has_begun = False
    space: Optional[int] = None  # offset of the white space after the last word
    for offset, character in enumerate(text):
        if character.isspace():
            space = offset if has_begun and space is None else space
            continue
        has_begun = True
        if space is not None:
            offsets.append(space)
            space = None
        offsets.extend([offset] * _clean_length(character))
    return clean, offsets


@functools.lru_cache(maxsize=None)
def _clean_length(character: str) -> int:
    """Returns how many characters preprocess_text makes of one that is not white space."""
    return len(tokenization.preprocess_text(character, remove_space=False))


def _spans_of_pieces(pieces: List[str], clean: str) -> Spans:
    """Returns the offsets in the clean text of the first and last character of each piece."""
    spans = []
    position, final = 0, len(clean) - 1
    for piece in pieces:
        first: Optional[int] = None
        last = 0
        for character in piece:
            if character == SPIECE_UNDERLINE:
                # A mark without a space in the text is one that SentencePiece has added.
                space = _NEXT_SPACE.match(clean, position)
                found = space.end() - 1 if space else -1
            else:
                found = clean.find(character, position, position + _LOOK_AHEAD)
            if found >= 0:
                first = found if first is None else first
                last, position = found, found + 1
        if first is None:
            first = last = min(position, final)
        spans.append((first, last))
    return spans


def _clean_words(basic_tokenizer: BasicTokenizer, text: str) -> Tuple[List[str], List[int]]:
    """Returns the words of a text, and the offset in it of each character of each word."""
    words = basic_tokenizer.tokenize(text)
    offsets: List[int] = []
    for offset, character in enumerate(text):
        # A character can become several words: it may be decomposed into punctuation.
        num_characters = sum(len(word) for word in _words_of(basic_tokenizer, character))
        offsets.extend([offset] * num_characters)
    return words, offsets


@functools.lru_cache(maxsize=None)
def _words_of(basic_tokenizer: BasicTokenizer, character: str) -> List[str]:
    return basic_tokenizer.tokenize(character)


def _spans_of_wordpieces(tokens: List[str], words: List[str], unk_token: str) -> Spans:
    """Returns the offsets in the concatenated words of each token's first and last character."""
    spans = []
    remaining = iter(tokens)
    word_start = 0
    for word in words:
        position, word_end = word_start, word_start + len(word)
        while position < word_end:
            token = next(remaining)
            mark_length = 2 if position > word_start else 0  # "##"
            length = len(word) if token == unk_token else len(token) - mark_length
            spans.append((position, position + length - 1))
            position += length
        word_start = word_end
    return spans
