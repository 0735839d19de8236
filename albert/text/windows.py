"""Overlapping windows over the tokens of a text that is longer than a sequence may be."""

from typing import Any, List, NamedTuple, Sequence

import numpy as np


class Window(NamedTuple):
    """The tokens from `begin` to before `end`."""

    begin: int
    end: int


def window_limits(num_tokens: int, room: int, stride: int) -> List[Window]:
    """Returns the windows of a text; one without tokens has a single, empty one.

    A window has `room` tokens, the last one perhaps fewer, and begins `stride` tokens, but never
    more than `room`, after the one before it.

    Args:
        room, stride: at least 1.
    """
    begins = [0]
    while begins[-1] + room < num_tokens:
        begins.append(begins[-1] + min(stride, room))
    return [Window(begin, min(begin + room, num_tokens)) for begin in begins]


def best_windows(windows: Sequence[Any]) -> List[int]:
    """Returns, for each token of a text, the index of the window that shows most around it.

    A window's score for a token is the number of tokens on the shorter side of it, plus a hundredth
    of the window's length. The first of equal windows wins. The time is linear in the windows.

    Args:
        windows: of the whole text, in order; each has `begin` and `end` as Window has.
    """
    num_tokens = windows[-1].end
    best, best_scores = np.zeros(num_tokens, np.int64), np.full(num_tokens, -1.0)
    for number, window in enumerate(windows):
        begin, end = window.begin, window.end
        before = np.arange(end - begin)
        scores = np.minimum(before, before[::-1]) + 0.01 * (end - begin)
        shown = slice(begin, end)
        is_better = scores > best_scores[shown]
        best[shown][is_better] = number
        best_scores[shown][is_better] = scores[is_better]
    return best.tolist()
