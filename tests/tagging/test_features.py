"""Tests of albert.tagging.features: pieces of tokens, and windows of long sentences."""

import random

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from albert.tagging.features import NO_TAG, TAG_IDS, pieces_of, windows_of

REAL = "-DOCSTART- U.N. official Ekeus don't \" `` '' 1,000 👨‍👩‍👧 é 漢字 ( fox".split()
# Of these the vocabularies leave nothing, or only white space.
EMPTY = ["\u200b", "\u00a0", "\x01", " "]


def words(tokenizer, ids):
    return tokenizer.convert_ids_to_tokens(ids)


def test_a_token_owns_its_pieces(wordpiece):
    ids, firsts = pieces_of(wordpiece, ["singing", "ab", "c"])
    assert words(wordpiece, ids) == ["sing", "##ing", "a", "##b", "c"]
    assert firsts == [0, 2, 4]


def test_real_tokens_have_the_pieces_that_they_have_alone(tokenizer):
    ids, firsts = pieces_of(tokenizer, REAL)
    alone = tokenizer.encode_batch(REAL)
    assert ids == [number for each in alone for number in each]
    assert firsts == np.cumsum([0, *map(len, alone)]).tolist()[:-1]


def test_a_token_of_which_nothing_is_left_is_one_unknown_piece(tokenizer):
    for empty in EMPTY:
        ids, firsts = pieces_of(tokenizer, ["a", empty, "b", empty])
        assert len(firsts) == 4 and firsts == sorted(set(firsts))
        assert ids[firsts[3]] == tokenizer.unk_id and len(ids) == firsts[3] + 1
        ids, firsts = pieces_of(tokenizer, [empty])
        assert (ids, firsts) == ([tokenizer.unk_id], [0])


def characters():
    """Returns letters, marks, white space, controls and what else Unicode has."""
    return strategies.characters(blacklist_categories=("Cs",))


@hypothesis.settings(deadline=None, max_examples=200)
@hypothesis.given(tokens=strategies.lists(strategies.text(characters(), min_size=1), min_size=1))
def test_every_token_has_a_first_piece_of_its_own(wordpiece, tokens):
    ids, firsts = pieces_of(wordpiece, tokens)
    assert firsts == sorted(set(firsts)) and len(firsts) == len(tokens)
    assert firsts[0] == 0 and firsts[-1] < len(ids)
    # Besides unknown pieces, which tokens without any have got, all pieces of the text are there.
    unknown = wordpiece.unk_id
    expected = [number for number in wordpiece.encode(" ".join(tokens)) if number != unknown]
    assert [number for number in ids if number != unknown] == expected


@pytest.mark.parametrize("max_seq_length", [3, 4, 9, 64, 512])
def test_every_token_of_a_long_sentence_has_one_tag(wordpiece, max_seq_length):
    generator = random.Random(0)
    tokens = ["a" * generator.randint(1, 5) for _ in range(2000)]
    tags = [generator.randrange(9) for _ in tokens]
    windows = list(windows_of(wordpiece, tokens, tags, max_seq_length))
    found = [tag for window in windows for tag in window[TAG_IDS] if tag != NO_TAG]
    assert found == tags
    for window in windows:
        assert len(window["input_ids"]) == len(window[TAG_IDS]) <= max_seq_length
        assert window["input_ids"][0] == wordpiece.cls_id
        assert window["input_ids"][-1] == wordpiece.sep_id
        assert max(window[TAG_IDS]) != NO_TAG


def test_a_tag_stands_where_the_window_shows_most_around_the_token(wordpiece):
    windows = list(windows_of(wordpiece, list("abcdefgh"), range(8), 6))  # 4 pieces each
    assert [window["input_ids"][1:-1] for window in windows] == [
        wordpiece.encode(text) for text in ("a b c d", "c d e f", "e f g h")
    ]
    assert [window[TAG_IDS][1:-1] for window in windows] == [
        [0, 1, 2, NO_TAG],
        [NO_TAG, 3, 4, NO_TAG],
        [NO_TAG, 5, 6, 7],
    ]
