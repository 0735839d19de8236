"""SQuAD questions and contexts to windows: `[CLS] question [SEP] part of the context [SEP]`.

Tokens of the context are counted from its beginning, so one token has the same number in every
window that holds it.
"""

import bisect
from typing import List, NamedTuple, Optional, Tuple

from albert.common.errors import UsageError
from albert.squad.decoding import WindowContext
from albert.text.alignment import AlignedTokens
from albert.text.windows import best_windows, window_limits
from albert.tokenization import FullTokenizer

_NUM_SPECIALS = 3  # [CLS] and two [SEP]


class SquadWindow(NamedTuple):
    """A part of a context, after the question. The lists hold one value per token, unpadded.

    Attributes:
        input_ids: token ids.
        segment_ids: 0 for [CLS], the question and its [SEP], 1 for the rest.
        p_mask: 0 for [CLS] and the context, 1 where an answer can neither start nor end.
        offset: index in input_ids of the first token of the context.
        begin: number of that token in the context.
        num_tokens: how many tokens of the context the window holds.
    """

    input_ids: List[int]
    segment_ids: List[int]
    p_mask: List[int]
    offset: int
    begin: int
    num_tokens: int

    @property
    def end(self) -> int:
        """The number in the context of the first token after the window."""
        return self.begin + self.num_tokens

    def positions(self, first: int, last: int) -> Optional[Tuple[int, int]]:
        """Returns the indices in input_ids of an answer's first and last token.

        None if the window does not hold the whole answer.

        Args:
            first, last: numbers of the two tokens in the context.
        """
        if self.begin <= first and last < self.end:
            shift = self.offset - self.begin
            return first + shift, last + shift
        return None


def make_windows(
    tokenizer: FullTokenizer,
    question_ids: List[int],
    context_ids: List[int],
    max_seq_length: int,
    doc_stride: int,
) -> List[SquadWindow]:
    """Returns the windows of one question; a context without tokens has one, which is empty.

    A window begins every `doc_stride` tokens and is as long as max_seq_length allows.

    Raises:
        UsageError: the question leaves no room for the context, or the stride is not positive.
    """
    room = max_seq_length - len(question_ids) - _NUM_SPECIALS
    if room < 1:
        raise UsageError(
            f"<max_seq_length> leaves no room for the context: a question takes "
            f"{len(question_ids)} tokens and the special tokens {_NUM_SPECIALS}.",
            max_seq_length=max_seq_length,
        )
    if doc_stride < 1:
        raise UsageError("<doc_stride> must be 1 or more.", doc_stride=doc_stride)
    prefix = [tokenizer.cls_id, *question_ids, tokenizer.sep_id]
    windows = []
    for begin, end in window_limits(len(context_ids), room, doc_stride):
        num_tokens = end - begin
        windows.append(
            SquadWindow(
                [*prefix, *context_ids[begin:end], tokenizer.sep_id],
                [0] * len(prefix) + [1] * (num_tokens + 1),
                [0] + [1] * (len(prefix) - 1) + [0] * num_tokens + [1],
                offset=len(prefix),
                begin=begin,
                num_tokens=num_tokens,
            )
        )
    return windows


def window_contexts(windows: List[SquadWindow], aligned: AlignedTokens) -> List[WindowContext]:
    """Returns the WindowContext of each window of one question.

    Args:
        aligned: all tokens of the context.
    """
    best = best_windows(windows)
    return [
        WindowContext(
            window.offset,
            aligned.starts[window.begin : window.end],
            aligned.ends[window.begin : window.end],
            [int(index == number) for index in best[window.begin : window.end]],
        )
        for number, window in enumerate(windows)
    ]


def answer_tokens(aligned: AlignedTokens, begin: int, text: str) -> Tuple[int, int]:
    """Returns the numbers of the first and the last token that an answer touches.

    Args:
        aligned: the tokens of the context.
        begin: index in the context of the answer's first character.
        text: the answer, not empty.
    """
    first = bisect.bisect_right(aligned.starts, begin) - 1
    last = bisect.bisect_left(aligned.ends, begin + len(text) - 1)
    return max(first, 0), min(max(first, last), len(aligned.ids) - 1)
