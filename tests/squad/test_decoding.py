"""Tests of albert.squad.decoding: spans of a window, and answers from spans."""

import numpy as np
import pytest

from albert.squad import decoding
from albert.squad.decoding import Span, WindowContext

CONTEXT = "Ann sings the  old song and Bob"  # two spaces
STARTS = [0, 4, 10, 15, 19, 24, 28]
ENDS = [2, 8, 12, 17, 22, 26, 30]


def window(begin=0, end=6, offset=3, not_best=()):
    """Returns the window of the tokens from `begin` to `end` of CONTEXT."""
    is_best = [int(token not in not_best) for token in range(begin, end)]
    return WindowContext(offset, STARTS[begin:end], ENDS[begin:end], is_best)


def logits(length=10, **values):
    """Returns low logits, but for the values at _<index>."""
    found = np.full([length], -5.0)
    for name, value in values.items():
        found[int(name[1:])] = value
    return found


def span(first, last, score):
    """Returns the Span of the tokens first to last of CONTEXT."""
    return Span(STARTS[first], ENDS[last], score)


def test_span_is_the_best_allowed_pair_of_start_and_end():
    starts, ends = logits(_4=3.0, _5=1.0), logits(_6=2.0, _3=9.0)  # the best end is before it
    spans = decoding.spans_of_logits(window(), starts, ends, 20, 30)
    assert max(spans, key=lambda found: found.score) == span(1, 3, 5.0)


@pytest.mark.parametrize(
    "starts, ends, max_length, shown",
    [
        ("_2", "_4", 30, window()),  # starts before the context
        ("_4", "_9", 30, window()),  # ends after it
        ("_4", "_7", 3, window()),  # too long
        ("_4", "_5", 30, window(not_best=[1])),  # another window is better
    ],
)
def test_span_that_is_not_allowed_is_skipped(starts, ends, max_length, shown):
    starts, ends = logits(**{starts: 3.0}), logits(**{ends: 3.0})
    spans = decoding.spans_of_logits(shown, starts, ends, 1, max_length)
    assert spans == []


def test_spans_of_a_later_window_count_from_the_beginning_of_the_context():
    spans = decoding.spans_of_logits(window(begin=2), logits(_4=1.0), logits(_5=1.0), 1, 30)
    assert spans == [span(3, 4, 2.0)]


def test_window_without_context_has_no_spans():
    assert decoding.spans_of_logits(window(end=0), logits(_3=1.0), logits(_3=1.0), 5, 30) == []


def test_window_comes_back_from_its_features_without_padding():
    features = window(2, 5, not_best=[3]).as_features()
    padded = {
        name: np.array([*value, 0, 0]) if isinstance(value, list) else np.int32(value)
        for name, value in features.items()
    }
    offset, *sequences = WindowContext.of_row(padded)
    assert offset == 3
    assert [list(sequence) for sequence in sequences] == [[10, 15, 19], [12, 17, 22], [1, 0, 1]]


def test_beams_are_starts_with_their_own_ends():
    beams = {
        "start_index": [4, 0],
        "start_log_probs": [-0.5, -1.0],
        "end_index": [[6, 3], [0, 5]],
        "end_log_probs": [[-0.25, -0.1], [-0.1, -0.2]],
    }
    assert decoding.spans_of_beams(window(), beams, 30) == [span(1, 3, -0.75)]


def test_answers_are_cut_from_the_context_best_first_and_once_each():
    spans = [span(2, 3, 1.0), span(0, 0, 3.0), span(6, 6, 2.0), span(0, 0, 2.5)]
    answers = decoding.best_answers(CONTEXT, spans, 3)
    assert answers == [("Ann", 3.0, 0), ("Bob", 2.0, 28), ("the  old", 1.0, 10)]
    assert decoding.best_answers(CONTEXT, spans, 1) == [("Ann", 3.0, 0)]


def test_the_first_of_equal_scores_is_the_best():
    starts, ends = logits(_3=1.0, _5=1.0), logits(_3=1.0, _5=1.0)
    assert decoding.spans_of_logits(window(), starts, ends, 1, 30) == [span(0, 0, 2.0)]
    answers = decoding.best_answers(CONTEXT, [span(6, 6, 1.0), span(0, 0, 1.0)], 2)
    assert answers == [("Bob", 1.0, 28), ("Ann", 1.0, 0)]


def test_probabilities_are_the_softmax_of_the_scores():
    answers = [decoding.Answer("a", 1000.0), decoding.Answer("b", 1000.0 - np.log(3))]
    rows = decoding.with_probabilities(answers)
    assert [row["probability"] for row in rows] == pytest.approx([0.75, 0.25])
