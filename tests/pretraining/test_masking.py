"""Tests of the masks of pre-training, against what FACTS and the original's rules say of them."""

import numpy as np
import pytest

from albert.pretraining.masking import (
    NO_LABEL,
    MaskSettings,
    Vocabulary,
    keys_of,
    mask_tokens,
)

CLS, SEP, MASK = 2, 3, 4
VOCABULARY = Vocabulary(MASK, (0, 1, CLS, SEP, MASK), vocab_size=1000)
SETTINGS = MaskSettings()


def make_batch(num_sequences, max_length=128, word_share=0.7, seed=0):
    """Returns (input_ids, token_boundary, lengths) of sequences `[CLS] a [SEP] b [SEP]`."""
    random = np.random.RandomState(seed)
    lengths = random.randint(max_length // 2, max_length + 1, num_sequences)
    ids = random.randint(5, 1000, (num_sequences, max_length))
    ids[:, 0] = CLS
    for row, length in zip(ids, lengths):
        row[length // 2] = row[length - 1] = SEP
        row[length:] = 0
    return ids, (random.rand(*ids.shape) < word_share).astype(int), lengths


def masked(batch, settings=SETTINGS, seed=1, epoch=0, vocabulary=VOCABULARY):
    keys = keys_of(seed, epoch, np.arange(len(batch[0])))
    return mask_tokens(*batch, keys, settings, vocabulary)


def words_of(ids, boundary, length):
    """Returns the positions of each word, by hand."""
    words = []
    for position in range(length):
        if ids[position] in (CLS, SEP):
            continue
        follows_special = ids[position - 1] in (CLS, SEP)
        if boundary[position] or follows_special:
            words.append([])
        words[-1].append(position)
    return words


@pytest.mark.parametrize("share, most", [(0.15, None), (0.15, 5), (0.4, None), (0.001, None)])
def test_as_many_tokens_are_masked_as_the_original_asks_for(share, most):
    batch = make_batch(200, word_share=1.0)
    _, labels = masked(batch, MaskSettings(masked_lm_prob=share, max_predictions=most))
    expected = [
        min(most or 10**9, max(1, int(round(length * share)))) for length in batch[2].tolist()
    ]
    assert (labels != NO_LABEL).sum(axis=1).tolist() == expected


def test_labels_are_the_tokens_and_all_others_stay():
    batch = make_batch(100)
    ids, labels = masked(batch)
    is_covered = labels != NO_LABEL
    np.testing.assert_array_equal(labels[is_covered], batch[0][is_covered])
    np.testing.assert_array_equal(ids[~is_covered], batch[0][~is_covered])
    assert ids.dtype == labels.dtype == np.int32


def test_four_of_five_masked_tokens_are_hidden_and_half_of_the_rest_stay():
    batch = make_batch(3000)
    ids, labels = masked(batch)
    is_covered = labels != NO_LABEL
    count = is_covered.sum()
    num_hidden = (ids[is_covered] == MASK).sum()
    num_kept = (ids[is_covered] == labels[is_covered]).sum()
    for found, share in ((num_hidden, 0.8), (num_kept, 0.1)):
        assert abs(found - share * count) < 4 * np.sqrt(share * (1 - share) * count)


def test_random_tokens_are_spread_over_the_vocabulary_without_special_ones():
    ids, labels = masked(make_batch(6000))
    is_random = (labels != NO_LABEL) & (ids != MASK) & (ids != labels)
    drawn = ids[is_random]
    assert drawn.min() >= 5 and drawn.max() < 1000
    counts = np.bincount(drawn, minlength=1000)[5:]
    assert counts.min() > 0
    variance = ((counts - counts.mean()) ** 2).sum() / counts.mean()  # chi-square of 994
    assert abs(variance - 994) < 5 * np.sqrt(2 * 994)


def test_special_tokens_and_padding_are_never_masked():
    batch = make_batch(300)
    _, labels = masked(batch, MaskSettings(masked_lm_prob=0.9))
    is_text = np.arange(128) < batch[2][:, None]
    assert (labels[~is_text | np.isin(batch[0], (CLS, SEP))] == NO_LABEL).all()


def test_whole_words_are_masked():
    batch = make_batch(200, word_share=0.5)
    _, labels = masked(batch)
    for ids, boundary, length, row in zip(*batch, labels):
        for word in words_of(ids, boundary, length):
            assert len({row[position] != NO_LABEL for position in word}) == 1


def test_words_are_cut_where_whole_words_are_not_wanted():
    batch = make_batch(200, word_share=0.5)
    _, labels = masked(batch, MaskSettings(do_whole_word_mask=False, ngram=1))
    expected = [max(1, int(round(length * 0.15))) for length in batch[2].tolist()]
    assert (labels != NO_LABEL).sum(axis=1).tolist() == expected
    assert any(
        len({row[position] != NO_LABEL for position in word}) == 2
        for ids, boundary, length, row in zip(*batch, labels)
        for word in words_of(ids, boundary, length)
    )


@pytest.mark.parametrize(
    "favor_shorter_ngram, shares",
    [(True, [6 / 11, 3 / 11, 2 / 11]), (False, [1 / 6, 2 / 6, 3 / 6])],
)
def test_ngrams_have_the_lengths_of_the_paper(favor_shorter_ngram, shares):
    # Three tokens of 3,000: they are one n-gram of three, or three of one, or else one of two and a
    # rest; that two n-grams touch is rare.
    count = 1500
    batch = (np.full((count, 3000), 10), np.ones((count, 3000)), np.full(count, 3000))
    settings = MaskSettings(max_predictions=3, favor_shorter_ngram=favor_shorter_ngram)
    _, labels = masked(batch, settings)
    positions = np.nonzero(labels != NO_LABEL)[1].reshape(count, 3)
    num_gaps = (np.diff(positions, axis=1) > 1).sum(axis=1)
    for gaps, share in ((0, shares[2]), (2, shares[0] ** 2)):
        deviation = np.sqrt(share * (1 - share) * count)
        assert abs((num_gaps == gaps).sum() - share * count) < 4 * deviation


def test_masks_depend_on_seed_epoch_and_sequence_alone():
    batch = make_batch(64)
    keys = keys_of(7, 3, np.arange(64))
    ids, labels = mask_tokens(*batch, keys, MaskSettings(), VOCABULARY)
    order = np.random.RandomState(0).permutation(64)[:10]  # other neighbours, less padding
    length = batch[2][order].max()
    part = [batch[0][order][:, :length], batch[1][order][:, :length], batch[2][order]]
    again = mask_tokens(*part, keys[order], MaskSettings(), VOCABULARY)
    np.testing.assert_array_equal(again[0], ids[order][:, :length])
    np.testing.assert_array_equal(again[1], labels[order][:, :length])


def test_no_epoch_and_no_seed_repeats_a_mask():
    batch = make_batch(50)
    found = {
        labels.tobytes()
        for seed in range(5)
        for epoch in range(5)
        for labels in masked(batch, seed=seed, epoch=epoch)[1]
    }
    assert len(found) == 5 * 5 * 50


def test_keys_differ_for_neighbours():
    keys = keys_of(0, np.arange(300)[:, None], np.arange(300))
    assert len(np.unique(keys)) == 300 * 300
    assert keys.dtype == np.uint64


def test_every_position_is_masked_as_often_as_any_other():
    batch = make_batch(1, max_length=40, word_share=1.0)
    length = batch[2][0]
    counts = sum((masked(batch, MaskSettings(ngram=1), epoch=e)[1][0] >= 0) for e in range(4000))
    is_text = [p for p in range(length) if batch[0][0, p] not in (CLS, SEP)]
    rates = counts[is_text] / 4000
    assert np.abs(rates - rates.mean()).max() < 4.5 * np.sqrt(rates.mean() / 4000)


def test_a_word_longer_than_the_budget_is_left_alone():
    ids = np.array([[CLS] + [10] * 8 + [SEP]])
    boundary = np.array([[1] + [1] + [0] * 7 + [1]])
    _, labels = masked((ids, boundary, np.array([10])))
    assert (labels == NO_LABEL).all()
    ids, labels = masked((ids, boundary, np.array([10])), MaskSettings(masked_lm_prob=0.8))
    assert (labels[0] != NO_LABEL).tolist() == [False] + [True] * 8 + [False]


def test_a_batch_of_special_tokens_alone_has_no_masks():
    ids, labels = masked((np.array([[CLS, SEP, SEP]]), np.ones([1, 3]), np.array([3])))
    assert ids.tolist() == [[CLS, SEP, SEP]] and (labels == NO_LABEL).all()
