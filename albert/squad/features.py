"""SQuAD questions and contexts to windows: `[CLS] question [SEP] part of the context [SEP]`.

Needs no TensorFlow, so that processes that only make features start quickly.
"""

import bisect
from typing import List, NamedTuple

from albert.common.errors import UsageError

_NUM_SPECIALS = 3  # [CLS] and two [SEP]


class SquadWindow(NamedTuple):
    """One window of a context, with the question before it: lists of one value a token, unpadded.

    Attributes:
        input_ids: token ids.
        segment_ids: 0 for [CLS], the question and its [SEP], 1 for the rest.
        p_mask: 1 where no answer can begin or end, which is everywhere but in the context and at
            [CLS].
        offset: place in input_ids of the first token of the context.
        begin: number of that token in the context.
        num_pieces: how many tokens of the context there are.
    """

    input_ids: List[int]
    segment_ids: List[int]
    p_mask: List[int]
    offset: int
    begin: int
    num_pieces: int

    @property
    def end(self):
        """The number in the context of the token behind the window."""
        return self.begin + self.num_pieces

    def positions(self, first, last):
        """Returns (start, end) in input_ids of an answer's first and last token in the context.

        None where the window does not hold the whole answer.
        """
        if self.begin <= first and last < self.end:
            shift = self.offset - self.begin
            return first + shift, last + shift
        return None


def make_windows(tokenizer, question_ids, context_ids, max_seq_length, doc_stride):
    """Returns the SquadWindows of one question; one without context if that has no tokens.

    Windows begin every `doc_stride` tokens and are as long as the sequence allows.

    Args:
        tokenizer: FullTokenizer, for the special tokens.
        question_ids: list of int, cut to the longest question allowed.
        context_ids: list of int.

    Raises:
        UsageError: the question leaves no room for the context, or the stride is not positive.
    """
    room = max_seq_length - len(question_ids) - _NUM_SPECIALS
    if room < 1:
        raise UsageError(
            f"--max_seq_length={max_seq_length} leaves no room for the context: a question takes "
            f"{len(question_ids)} tokens and the special tokens {_NUM_SPECIALS}."
        )
    if doc_stride < 1:
        raise UsageError(f"--doc_stride={doc_stride} must be 1 or more.")
    head = [tokenizer.cls_id, *question_ids, tokenizer.sep_id]
    windows = []
    begin = 0
    while True:
        pieces = context_ids[begin : begin + room]
        windows.append(
            SquadWindow(
                [*head, *pieces, tokenizer.sep_id],
                [0] * len(head) + [1] * (len(pieces) + 1),
                [0] + [1] * (len(head) - 1) + [0] * len(pieces) + [1],
                offset=len(head),
                begin=begin,
                num_pieces=len(pieces),
            )
        )
        if begin + len(pieces) == len(context_ids):
            return windows
        begin += min(doc_stride, room)


def best_windows(windows):
    """Returns, for each token of the context, the number of the window that shows it best.

    That is the one with the most tokens on the token's shorter side, plus a hundredth of the
    window's length; the first of several.
    """
    best = []
    for piece in range(windows[-1].end):
        scores = [
            min(piece - window.begin, window.end - 1 - piece) + 0.01 * window.num_pieces
            if window.begin <= piece < window.end
            else -1.0
            for window in windows
        ]
        best.append(scores.index(max(scores)))
    return best


def answer_pieces(aligned, begin, text):
    """Returns the numbers (first, last) of the tokens that an answer touches.

    Args:
        aligned: AlignedTokens of the context.
        begin: place of the answer's first character in the context.
        text: the answer, not empty.
    """
    first = bisect.bisect_right(aligned.starts, begin) - 1
    last = bisect.bisect_left(aligned.ends, begin + len(text) - 1)
    return max(first, 0), min(max(first, last), len(aligned.ids) - 1)
