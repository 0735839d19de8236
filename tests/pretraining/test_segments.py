"""Tests of albert.pretraining.segments."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.pretraining import segments

NEVER_CUT = segments.PairSettings(max_seq_length=10000, short_seq_prob=0.0)


def sentences_of(documents, word_length=1):
    """Returns Sentences of documents, lists of numbers of tokens; each token is its own id."""
    lengths = [length for document in documents for length in document]
    total = sum(lengths)
    return segments.Sentences(
        tokens=np.arange(total, dtype=np.int32),
        is_start=np.arange(total) % word_length == 0,
        bounds=np.concatenate([[0], np.cumsum(lengths)]).astype(int).tolist(),
        documents=np.cumsum([0, *(len(document) for document in documents)]).tolist(),
    )


def draw(documents, pair_settings, word_length=1, shard=0, number_of_pass=0):
    """Returns (Pairs, the number of dropped sentences)."""
    rows, num_dropped = segments.draw_pairs(
        sentences_of(documents, word_length), pair_settings, shard, number_of_pass
    )
    return [segments.Pair(*row) for row in rows.tolist()], num_dropped


def tokens_of(pair):
    return [*range(pair.start_a, pair.end_a), *range(pair.start_b, pair.end_b)]


def test_a_document_shorter_than_a_sequence_is_one_pair_cut_between_sentences():
    cuts, swapped = collections.Counter(), 0
    for number_of_pass in range(400):
        (pair,), _ = draw([[3, 4, 5]], NEVER_CUT, number_of_pass=number_of_pass)
        assert sorted(tokens_of(pair)) == list(range(12))
        assert pair.label == (pair.start_a > pair.start_b)
        swapped += pair.label
        cuts[max(pair.start_a, pair.start_b)] += 1
    assert set(cuts) == {3, 7}
    assert 160 < cuts[3] < 240 and 160 < swapped < 240  # 4 standard deviations are 40


def test_sentences_are_collected_until_the_sequence_is_full():
    pair_settings = segments.PairSettings(max_seq_length=13, short_seq_prob=0.0)
    pairs, _ = draw([[4, 4, 4, 5, 5, 1, 1]], pair_settings)
    ends = [max(pair.end_a, pair.end_b) for pair in pairs]
    # 4 + 4 + 4 tokens reach 10, then 5 + 5, then the document ends; the first pair loses two.
    assert [len(tokens_of(pair)) for pair in pairs] == [10, 10, 2]
    assert ends[1:] == [22, 24] and 10 <= ends[0] <= 12


def test_a_sentence_alone_takes_another_document_and_label_1():
    others = set()
    for number_of_pass in range(200):
        pairs, num_dropped = draw([[5], [3, 3], [4]], NEVER_CUT, number_of_pass=number_of_pass)
        first, _, last = pairs
        assert (first.start_a, first.end_a, first.label, num_dropped) == (0, 5, 1, 0)
        assert first.start_b >= 5 and (last.start_a, last.label) == (11, 1)
        others.add((first.start_b, first.end_b))
    assert others == {(5, 11), (8, 11), (11, 15)}  # from any sentence, to the document's end


def test_a_random_segment_ends_where_the_sequence_is_full():
    pair_settings = segments.PairSettings(max_seq_length=13, short_seq_prob=0.0)
    for number_of_pass in range(50):
        pairs, _ = draw([[6], [2] * 9], pair_settings, number_of_pass=number_of_pass)
        num_b = pairs[0].end_b - pairs[0].start_b
        assert num_b == min(4, 24 - pairs[0].start_b)


def test_a_sentence_that_is_a_whole_shard_is_cut_at_a_word():
    labels, cuts = set(), set()
    for number_of_pass in range(100):
        (pair,), _ = draw([[9]], NEVER_CUT, word_length=3, number_of_pass=number_of_pass)
        assert sorted(tokens_of(pair)) == list(range(9))
        assert pair.label == (pair.start_a > pair.start_b)
        labels.add(pair.label)
        cuts.add(max(pair.start_a, pair.start_b))
    assert (labels, cuts) == ({0, 1}, {3, 6})


def test_a_word_that_is_a_whole_shard_is_dropped_and_counted():
    assert draw([[3]], NEVER_CUT, word_length=3) == ([], 1)


def test_short_sequences_have_their_share_and_every_length():
    pair_settings = segments.PairSettings(max_seq_length=23, short_seq_prob=0.3)
    pairs, _ = draw([[1] * 20000, [1]], pair_settings)
    counts = collections.Counter(len(tokens_of(pair)) for pair in pairs[:-2])
    # With 0.3 from 2 to 20, of which 20 is the full length.
    is_short = sum(counts.values()) - counts[20]
    assert 0.3 * 18 / 19 == pytest.approx(is_short / sum(counts.values()), abs=0.05)
    assert set(counts) == set(range(2, 21))


def test_a_pair_too_long_loses_tokens_of_the_longer_from_both_ends():
    pair_settings = segments.PairSettings(max_seq_length=103, short_seq_prob=0.0)
    fronts = []
    for number_of_pass in range(200):
        (pair,), _ = draw([[30, 170]], pair_settings, number_of_pass=number_of_pass)
        short, long = sorted([(pair.start_a, pair.end_a), (pair.start_b, pair.end_b)])
        assert short == (0, 30) and long[1] - long[0] == 70
        fronts.append(long[0] - 30)
    # 100 tokens are removed, each from the front one time in two.
    assert np.mean(fronts) == pytest.approx(50, abs=1.5)
    assert np.std(fronts) == pytest.approx(5, abs=1.2)


def test_random_next_sentence_puts_back_what_it_does_not_use():
    pair_settings = segments.PairSettings(53, 0.0, random_next_sentence=True)
    pairs, _ = draw([[5] * 400, [5] * 100], pair_settings)
    own = [pair for pair in pairs if pair.start_a < 2000]
    is_random = [pair.label for pair in own if pair.end_a - pair.start_a < 50]
    assert np.mean(is_random) == pytest.approx(0.5, abs=0.15)
    position = 0
    for pair in own:
        assert pair.start_a == position
        assert (pair.start_b >= 2000) == (pair.label == 1)
        assert pair.label == 1 or pair.start_b == pair.end_a
        position = pair.end_a if pair.label else pair.end_b
    assert position == 2000


def test_random_next_sentence_needs_another_document():
    pair_settings = NEVER_CUT._replace(random_next_sentence=True)
    for number_of_pass in range(20):
        (pair,), _ = draw([[3, 4]], pair_settings, number_of_pass=number_of_pass)
        assert pair == (0, 3, 3, 7, 0)


def test_pairs_are_a_function_of_seed_shard_and_pass():
    documents = [[3, 9, 2, 5, 4], [7], [4, 4]]

    def drawn(seed=1, shard=0, number_of_pass=0):
        return draw(
            documents,
            segments.PairSettings(15, 0.5, random_seed=seed),
            shard=shard,
            number_of_pass=number_of_pass,
        )

    assert drawn() == drawn()
    assert drawn(seed=2) != drawn() != drawn(shard=1) != drawn(number_of_pass=1) != drawn()


def test_order_is_a_permutation_and_a_function_of_seed_and_shard():
    order = segments.draw_order(NEVER_CUT, 3, 100).tolist()
    assert order == segments.draw_order(NEVER_CUT, 3, 100).tolist()
    assert sorted(order) == list(range(100)) != order
    assert order != segments.draw_order(NEVER_CUT, 4, 100).tolist()


@pytest.mark.parametrize(
    "bounds, word_length, expected",
    [
        ([0, 4, 10], 2, [0, 4, 10]),
        ([0, 4, 17], 3, [0, 4, 12, 17]),  # from 4 at most to 14, where 12 is the last word
        ([0, 25], 10, [0, 10, 20, 25]),
        ([0, 25], 100, [0, 10, 20, 25]),  # one word
        ([0], 1, [0]),
    ],
)
def test_a_long_sentence_is_cut_at_words_where_there_are_any(bounds, word_length, expected):
    is_start = np.arange(bounds[-1]) % word_length == 0
    assert segments.cut_long(np.array(bounds), is_start, 10).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=12), min_size=1, max_size=6),
    st.integers(15, 40),
    st.booleans(),
    st.integers(0, 2**31 - 1),
)
def test_every_sentence_is_used_and_no_pair_is_too_long(documents, length, is_random, seed):
    pair_settings = segments.PairSettings(length, 0.2, is_random, seed)
    sentences = sentences_of(documents)
    pairs, num_dropped = draw(documents, pair_settings)
    document_of = np.repeat(np.arange(len(documents)), [sum(each) for each in documents])
    for pair in pairs:
        num_a, num_b = pair.end_a - pair.start_a, pair.end_b - pair.start_b
        assert num_a >= 1 and num_b >= 1 and num_a + num_b <= length - 3
        for start, end in ((pair.start_a, pair.end_a), (pair.start_b, pair.end_b)):
            assert len(set(document_of[start:end])) == 1
    # With room for all, each token of each document is in some pair.
    roomy = draw(documents, pair_settings._replace(max_seq_length=5000))
    used = {token for pair in roomy[0] for token in tokens_of(pair)}
    assert len(used) + roomy[1] == len(sentences.tokens)
    assert num_dropped in (0, 1) and (num_dropped == 0 or len(documents) == 1)
