"""Masks for the masked language model: whole words, in n-grams, of a batch at once.

A mask is a function of a key, which is made of (seed, epoch, sequence). So no epoch repeats one,
none is stored, and a run that was killed draws the same ones again.
"""

import functools
from typing import Any, NamedTuple, Optional, Tuple

import numpy as np

from albert.common.errors import UsageError
from albert.tokenization import FullTokenizer

NO_LABEL = -1  # where no token is to be predicted

# What is drawn from a key: each draw has numbers of its own.
_ORDER, _LENGTH, _REPLACED, _RANDOM_TOKEN = range(4)
_SHARE_MASKED, _SHARE_KEPT = 0.8, 0.1
_GOLDEN = 0x9E3779B97F4A7C15


class MaskSettings(NamedTuple):
    """What is masked; each field is named as its flag, but for the maximum.

    Attributes:
        masked_lm_prob: the share of the tokens, [CLS] and [SEP] counted, that are to be predicted.
        ngram: the most words that are masked together.
        max_predictions: the most tokens of a sequence that are masked; None for no such limit.
        favor_shorter_ngram: n words have a probability in proportion to 1 / n; False: to n.
        do_whole_word_mask: mask whole words; False: each token for itself.
    """

    masked_lm_prob: float = 0.15
    ngram: int = 3
    max_predictions: Optional[int] = None
    favor_shorter_ngram: bool = True
    do_whole_word_mask: bool = True


class Vocabulary(NamedTuple):
    """What masking must know of the vocabulary.

    Attributes:
        mask_id: id of [MASK].
        special_ids: those of the tokens that are neither masked nor drawn, such as [CLS].
        vocab_size: number of ids.
    """

    mask_id: int
    special_ids: Tuple[int, ...]
    vocab_size: int

    @classmethod
    def of(cls, tokenizer: FullTokenizer) -> "Vocabulary":
        """Returns what masking must know of a tokenizer.

        Raises:
            UsageError: it has no [MASK].
        """
        mask_id = tokenizer.mask_id
        if mask_id is None:
            setting = "vocab_file" if tokenizer.sp_model is None else "spm_model_file"
            raise UsageError(
                f"<{setting}> has no [MASK], which pre-training needs.", **{setting: tokenizer.file}
            )
        special_ids = (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id)
        return cls(mask_id, (*special_ids, mask_id), tokenizer.vocab_size)


def keys_of(seed: int, epochs: Any, sequence_ids: Any) -> Any:
    """Returns the keys of sequences in their epochs: uint64, broadcast from both arguments."""
    epochs = np.asarray(epochs, np.int64).astype(np.uint64)
    sequence_ids = np.asarray(sequence_ids, np.int64).astype(np.uint64)
    with np.errstate(over="ignore"):
        return _mixed(_mixed(_mixed(seed) + epochs) + sequence_ids)


def mask_tokens(
    input_ids: Any,
    token_boundary: Any,
    lengths: Any,
    keys: Any,
    settings: MaskSettings,
    vocabulary: Vocabulary,
) -> Tuple[Any, Any]:
    """Returns (input_ids with some tokens masked, labels), both int32 [batch, seq].

    N-grams of words are drawn in random order until `masked_lm_prob` of the tokens are covered. One
    that is too long for what is left is cut, and one that overlaps another is left out. Of the
    covered tokens 80 % become [MASK], 10 % a random one, and 10 % stay. A label is the token that
    is to be predicted, or NO_LABEL.

    Args:
        input_ids: int [batch, seq], padded.
        token_boundary: [batch, seq], 1 where a word starts.
        lengths: [batch], tokens without padding.
        keys: uint64 [batch], from `keys_of`.
    """
    input_ids = np.asarray(input_ids, np.int32)
    keys = np.asarray(keys, np.uint64)
    num_columns = input_ids.shape[1]
    is_text = np.arange(num_columns) < np.asarray(lengths)[:, None]
    is_text &= ~np.isin(input_ids, np.asarray(vocabulary.special_ids))
    words = _words(is_text, np.asarray(token_boundary) > 0, settings.do_whole_word_mask)
    budgets = np.maximum(1, np.round(np.asarray(lengths) * settings.masked_lm_prob))
    if settings.max_predictions is not None:
        budgets = np.minimum(budgets, settings.max_predictions)
    is_covered = _covered(words, budgets.astype(np.int64), keys, settings)
    labels = np.where(is_covered, input_ids, NO_LABEL).astype(np.int32)
    return _replaced(input_ids, is_covered, keys, vocabulary), labels


class _Words(NamedTuple):
    """The words of a batch, all of them in one row, a sequence after the other.

    Attributes:
        of_tokens: int [batch, seq], the word of each token; -1 where there is none.
        ends: int [words + 1], how many tokens there are up to each word; it begins with 0.
        starts: int [batch + 1], the first word of each sequence, and the number of all.
    """

    of_tokens: Any
    ends: Any
    starts: Any


def _words(is_text, is_start, is_whole):
    after_gap = is_text & ~np.pad(is_text, ((0, 0), (1, 0)))[:, :-1]  # as after [SEP]
    begins = is_text & (is_start | after_gap) if is_whole else is_text
    number = np.cumsum(begins.ravel()).reshape(begins.shape) - 1
    sizes = np.bincount(number[is_text], minlength=int(begins.sum()))
    return _Words(
        np.where(is_text, number, -1),
        np.concatenate([[0], np.cumsum(sizes)]),
        np.concatenate([[0], np.cumsum(begins.sum(axis=1))]),
    )


def _covered(words, budgets, keys, settings):
    """Returns which tokens are to be predicted, bool [batch, seq].

    Every step tries, in all sequences that have a budget left, the n-gram next in their order.
    """
    num_words = np.diff(words.starts)
    most = int(num_words.max(initial=0))
    order = _draws(keys, _ORDER, most)
    order[np.arange(most) >= num_words[:, None]] = np.inf  # words there are not come last
    order = np.argsort(order, axis=1)
    lengths = _ngram_lengths(keys, order, num_words, settings)
    is_taken = np.zeros(len(words.ends) + settings.ngram, bool)  # [words], and some behind them
    active = np.arange(len(keys))
    left = budgets.copy()
    for step in range(most):
        active = active[(left[active] > 0) & (step < num_words[active])]
        if not len(active):
            break
        first = words.starts[active] + order[active, step]
        size, num_tokens = _fitting(words.ends, first, lengths[active, step], left[active])
        overlaps = np.zeros(len(active), bool)
        for offset in range(settings.ngram):
            overlaps |= (offset < size) & is_taken[first + offset]
        is_good = (size > 0) & ~overlaps
        for offset in range(settings.ngram):
            is_taken[first[is_good & (offset < size)] + offset] = True
        left[active[is_good]] -= num_tokens[is_good]
    return is_taken[words.of_tokens] & (words.of_tokens >= 0)


def _ngram_lengths(keys, order, num_words, settings):
    """Returns how many words the n-gram that begins at each word of an order is to have.

    Where fewer words are left in the sequence, the length is drawn from those that are possible.
    """
    sizes = np.arange(1, settings.ngram + 1)
    weights = np.cumsum(1.0 / sizes if settings.favor_shorter_ngram else sizes)
    possible = np.clip(num_words[:, None] - order, 1, settings.ngram)  # [batch, words]
    drawn = _draws(keys, _LENGTH, order.shape[1]) * weights[possible - 1]
    return 1 + np.searchsorted(weights, drawn, side="right").clip(max=settings.ngram - 1)


def _fitting(ends, first, size, left):
    """Returns the longest n-grams, of at most `size` words and `left` tokens, and their tokens.

    All arguments but `ends` are int [n-grams]. A size of 0 means that not even a word fits.
    """
    size = size.copy()
    last = len(ends) - 1
    num_tokens = ends[np.minimum(first + size, last)] - ends[first]
    while True:
        is_long = (num_tokens > left) & (size > 0)
        if not is_long.any():
            return size, num_tokens
        size[is_long] -= 1
        num_tokens = ends[np.minimum(first + size, last)] - ends[first]


def _replaced(input_ids, is_covered, keys, vocabulary):
    """Returns the ids with 80 % of the covered ones masked and 10 % drawn at random."""
    allowed = _ids_of_text(vocabulary)
    share = _draws(keys, _REPLACED, input_ids.shape[1])
    drawn = _draws(keys, _RANDOM_TOKEN, input_ids.shape[1])
    random_ids = allowed[(drawn * len(allowed)).astype(np.int64)]
    other = np.where(share < _SHARE_MASKED + _SHARE_KEPT, input_ids, random_ids)
    chosen = np.where(share < _SHARE_MASKED, vocabulary.mask_id, other)
    return np.where(is_covered, chosen, input_ids).astype(np.int32)


@functools.lru_cache(maxsize=4)
def _ids_of_text(vocabulary):
    return np.setdiff1d(np.arange(vocabulary.vocab_size), np.asarray(vocabulary.special_ids))


def _draws(keys, kind, count):
    """Returns random numbers from 0 to below 1 of each key: float64 [keys, count]."""
    counters = np.arange(1, count + 1, dtype=np.uint64) + (np.uint64(kind) << np.uint64(32))
    mixed = _mixed(keys[:, None] + counters * np.uint64(_GOLDEN))
    return (mixed >> np.uint64(11)) * 2.0**-53


def _mixed(value):
    """Returns the output function of SplitMix64 (Steele et al., OOPSLA 2014): uint64 to uint64."""
    with np.errstate(over="ignore"):
        value = np.asarray(value, np.uint64) + np.uint64(_GOLDEN)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return value ^ (value >> np.uint64(31))
