"""Sentences to pairs of segments, for the sentence order task, as google-research/albert does.

A pair is two stretches of the tokens of a shard, so a row of five numbers describes it and no token
is copied until it is written.

Sentences of a document are collected until they fill a sequence or the document ends, and cut at
random into A and B. One time in two A and B change places, which label 1 says. In detail:

- The length is drawn for each sequence: with probability `short_seq_prob` from 2 tokens on.
- A sentence that is alone, as the last one of a document, takes its B from another document of the
  shard, with label 1. In a shard of one document it is cut in two at a word, or dropped if it has
  only one.
- Pairs that are too long lose tokens from the longer segment, each from its front or its back.
"""

import bisect
import random
from typing import Any, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from albert import tokenization

NUM_SPECIALS = 3  # [CLS] A [SEP] B [SEP]

# What random numbers are for: each use has its own.
_PAIRS, _ORDER = "pairs", "order"


class PairSettings(NamedTuple):
    """What decides the pairs; each field is named as its flag.

    Attributes:
        max_seq_length: tokens of a sequence, [CLS] and [SEP] counted; 5 or more.
        short_seq_prob: share of the sequences that are to be shorter than that.
        random_next_sentence: whether label 1 is for a B of another document, as in BERT, and not
            for A and B that have changed places.
        random_seed: with the numbers of shard, pass and document, it decides all that is drawn.
    """

    max_seq_length: int = 512
    short_seq_prob: float = 0.1
    random_next_sentence: bool = False
    random_seed: int = 12345


class Sentences(NamedTuple):
    """The tokens of a shard.

    Attributes:
        tokens: int32 [tokens], those of all sentences, one after the other.
        is_start: bool [tokens], whether a word starts there.
        bounds: where sentences start in `tokens`, and the number of all: [sentences + 1].
        documents: where documents start in `bounds`, and the number of sentences: [documents + 1].
    """

    tokens: Any
    is_start: Any
    bounds: List[int]
    documents: List[int]


class Pair(NamedTuple):
    """Where A and B stand in the tokens of a shard, and `next_sentence_labels`."""

    start_a: int
    end_a: int
    start_b: int
    end_b: int
    label: int


def cut_long(bounds: Any, is_start: Any, limit: int) -> Any:
    """Returns bounds between which there are at most `limit` tokens: int [pieces + 1].

    A sentence that is longer is cut where a word starts, or else inside of a word.

    Args:
        bounds: int [sentences + 1], where sentences start, and the number of all tokens.
        is_start: bool [tokens], whether a word starts there.
    """
    pieces = []
    for index in np.flatnonzero(np.diff(bounds) > limit):
        start, end = int(bounds[index]), int(bounds[index + 1])
        words = start + np.flatnonzero(is_start[start:end])
        while end - start > limit:
            last = int(words[np.searchsorted(words, start + limit, side="right") - 1])
            start = last if last > start else start + limit
            pieces.append(start)
    return np.sort(np.concatenate([bounds, np.array(pieces, np.int64)]))


def draw_pairs(
    sentences: Sentences, settings: PairSettings, shard: int, number_of_pass: int
) -> Tuple[Any, int]:
    """Returns (pairs, the number of sentences dropped): the fields of a Pair, int64 [pairs, 5].

    Args:
        shard: its number.
        number_of_pass: of the same shard; each has other pairs.
    """
    pairs: List[Optional[Pair]] = []
    for document in range(len(sentences.documents) - 1):
        generator = random.Random(_seed(settings, _PAIRS, shard, number_of_pass, document))
        pairs.extend(_DocumentPairs(sentences, settings, document, generator).draw())
    drawn = [pair for pair in pairs if pair is not None]
    return np.array(drawn, np.int64).reshape(-1, len(Pair._fields)), len(pairs) - len(drawn)


def draw_order(settings: PairSettings, shard: int, count: int) -> Any:
    """Returns the numbers from 0 to below count in random order."""
    seed = random.Random(_seed(settings, _ORDER, shard)).getrandbits(32)
    return np.random.RandomState(seed).permutation(count)


def _seed(settings, use, *numbers):
    return f"{use} {settings.random_seed} {' '.join(map(str, numbers))}"


class _DocumentPairs:
    """Draws the pairs of one document.

    Of the generator only `random` and `getrandbits` are used, which every Python computes alike.
    """

    def __init__(self, sentences, settings, document, generator):
        self._sentences = sentences
        self._bounds = sentences.bounds
        self._settings = settings
        self._document = document
        self._generator = generator
        self._room = settings.max_seq_length - NUM_SPECIALS

    def draw(self) -> Iterator[Optional[Pair]]:
        """Yields the pairs, and None for each sentence that is dropped."""
        first, last = self._sentences.documents[self._document : self._document + 2]
        while first < last:
            target = self._room
            if self._is_drawn(self._settings.short_seq_prob):
                target = 2 + self._below(self._room - 1)
            end = self._reach(first, target, last)
            if end == first + 1:
                yield self._pair_of_one(first, target)
                first = end
                continue
            cut = first + 1 + self._below(end - first - 1)
            part_a, part_b = self._span(first, cut), self._span(cut, end)
            if not self._settings.random_next_sentence:
                yield self._pair(part_a, part_b, swaps=True)
            elif self._has_others() and self._is_drawn(0.5):
                yield self._pair(part_a, self._random_span(target, part_a), label=1)
                end = cut  # the sentences after it are used next
            else:
                yield self._pair(part_a, part_b)
            first = end

    def _pair_of_one(self, sentence, target):
        """Returns the pair of a sentence that stands alone; None if there can be none."""
        start, end = self._span(sentence, sentence + 1)
        if self._has_others():
            return self._pair((start, end), self._random_span(target, (start, end)), label=1)
        words = start + 1 + np.flatnonzero(self._sentences.is_start[start + 1 : end])
        if not len(words):
            return None
        cut = int(words[self._below(len(words))])
        swaps = not self._settings.random_next_sentence
        return self._pair((start, cut), (cut, end), swaps=swaps)

    def _random_span(self, target, part_a):
        """Returns a span of another document that fills, with A, a sequence of `target` tokens."""
        documents = self._sentences.documents
        other = self._below(len(documents) - 2)
        other += other >= self._document
        first, last = documents[other : other + 2]
        start = first + self._below(last - first)
        missing = target - (part_a[1] - part_a[0])
        return self._span(start, self._reach(start, missing, last))

    def _pair(self, part_a, part_b, label=0, swaps=False):
        """Returns a Pair that is short enough; with `swaps` A and B change places at random."""
        if swaps and self._is_drawn(0.5):
            part_a, part_b, label = part_b, part_a, 1
        num_a, num_b = part_a[1] - part_a[0], part_b[1] - part_b[0]
        kept_a, kept_b = tokenization.truncated_lengths(num_a, num_b, self._room)
        start_a = part_a[0] + self._num_from_front(num_a - kept_a)
        start_b = part_b[0] + self._num_from_front(num_b - kept_b)
        return Pair(start_a, start_a + kept_a, start_b, start_b + kept_b, label)

    def _num_from_front(self, num_removed):
        """Returns how many of the removed tokens are from the front: each one time in two."""
        return bin(self._generator.getrandbits(num_removed)).count("1") if num_removed else 0

    def _reach(self, first, target, last):
        """Returns the sentence, at most `last`, before which `target` tokens are reached."""
        wanted = self._bounds[first] + target
        return min(bisect.bisect_left(self._bounds, wanted, first + 1, last + 1), last)

    def _span(self, first, end):
        return self._bounds[first], self._bounds[end]

    def _has_others(self):
        return len(self._sentences.documents) > 2

    def _is_drawn(self, probability):
        return self._generator.random() < probability

    def _below(self, count):
        return int(self._generator.random() * count)
