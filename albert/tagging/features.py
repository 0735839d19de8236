"""Sentences to windows: `[CLS] part of the sentence [SEP]`, with a tag at each token's first piece.

A token longer than a piece has its tag at the first one (arXiv 1810.04805, section 5.3). A token of
which the vocabulary leaves nothing, such as a control character, becomes one unknown piece, so that
every token has a first one.
"""

from typing import Any, Dict, Iterator, List, Sequence, Tuple

from albert.engine.task import INPUT_IDS
from albert.text.alignment import encode_aligned
from albert.text.windows import best_windows, window_limits
from albert.tokenization import FullTokenizer

TAG_IDS = "tag_ids"
NO_TAG = -1  # of all that is not the first piece of a token

NUM_SPECIALS = 2  # [CLS] and [SEP]


def pieces_of(tokenizer: FullTokenizer, tokens: Sequence[str]) -> Tuple[List[int], List[int]]:
    """Returns the ids of a sentence's pieces, and the index in them of each token's first one.

    The sentence is encoded as a whole, its tokens joined by spaces. A piece belongs to the token
    that its last character lies in; one that ends between two tokens belongs to the second.
    """
    aligned = encode_aligned(tokenizer, " ".join(tokens))
    ids: List[int] = []
    firsts: List[int] = []
    num_taken = end = 0
    for token in tokens:
        end += len(token)
        first = num_taken
        while num_taken < len(aligned.ids) and aligned.ends[num_taken] < end:
            num_taken += 1
        firsts.append(len(ids))
        ids += aligned.ids[first:num_taken] or [tokenizer.unk_id]
        end += 1  # the space
    return ids, firsts


def windows_of(
    tokenizer: FullTokenizer, tokens: Sequence[str], tag_ids: Sequence[int], max_seq_length: int
) -> Iterator[Dict[str, Any]]:
    """Yields the features of a sentence's windows.

    A longer sentence has windows that overlap by half. Each token has its tag in one of them, the
    one that shows most around its first piece, so the tags of all windows are in order. Windows
    without tags are left out.

    Args:
        max_seq_length: of a window, in pieces including special tokens; 3 or more.
    """
    ids, firsts = pieces_of(tokenizer, tokens)
    room = max_seq_length - NUM_SPECIALS
    windows = window_limits(len(ids), room, max(room // 2, 1))
    best = best_windows(windows)
    for number, window in enumerate(windows):
        tags = [NO_TAG] * (window.end - window.begin + NUM_SPECIALS)
        for first, tag in zip(firsts, tag_ids):
            if best[first] == number:
                tags[1 + first - window.begin] = tag
        if max(tags) == NO_TAG:
            continue
        input_ids = [tokenizer.cls_id, *ids[window.begin : window.end], tokenizer.sep_id]
        yield {INPUT_IDS: input_ids, "segment_ids": [0] * len(input_ids), TAG_IDS: tags}
