"""Tests of albert.pretraining.words."""

import numpy as np
import pytest

from albert.pretraining import words


class StubTokenizer:
    """A vocabulary of given tokens, after [CLS] and [SEP]."""

    cls_id, sep_id = 0, 1

    def __init__(self, tokens, sp_model):
        self.vocab = {token: index for index, token in enumerate(["[CLS]", "[SEP]", *tokens])}
        self.vocab_size = len(self.vocab)
        self.sp_model = sp_model


@pytest.mark.parametrize(
    "piece, starts",
    [
        ("▁the", True),
        ("▁", True),
        ("<unk>", True),
        ("ing", False),
        ("ING", False),
        ("s", False),
        (".", True),
        ("(", True),
        ("'", True),
        ("--", False),
        ("a.", False),
        ("'s", True),  # the original's list of punctuation lacks the apostrophe
        ("=", True),
        ("1", True),
        ("é", True),
        ("中", True),
        ("£", True),
        ("[MASK]", False),
    ],
)
def test_sentencepiece_words_start_by_the_rules_of_the_original(piece, starts):
    table = words.starts_table(StubTokenizer([piece], sp_model=object()))
    assert table.tolist() == [True, True, starts]


def test_wordpiece_words_start_where_no_hashes_are():
    table = words.starts_table(StubTokenizer(["un", "##aff", "#", "中"], sp_model=None))
    assert table.tolist() == [True, True, True, False, True, True]


def test_words_of_real_text_start_at_spaces_and_punctuation(official_sentencepiece):
    text = "ALBERT's unaffable repository, e.g. 1992"
    tokens = official_sentencepiece.tokenize(text)
    table = words.starts_table(official_sentencepiece)
    found = [token for token in tokens if table[official_sentencepiece.vocab[token]]]
    assert np.sum(table) < len(table)
    assert "".join(found).count("▁") == text.count(" ") + 1
    assert {"'", ",", "."} <= set(found)
