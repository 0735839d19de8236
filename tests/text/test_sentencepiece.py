"""Tests of tokenization and alignment with a SentencePiece model made from two sentences."""

import hypothesis
import pytest
from hypothesis import strategies

from albert import tokenization
from albert.common.errors import UsageError
from albert.text.alignment import encode_aligned

MARK = tokenization.SPIECE_UNDERLINE
# Pieces of the model, parts of words that it knows, and what becomes <unk>.
PARTS = ("hello", "world", "2015,", "1,000,", "lazy", "x1", "12", ",", ".", "é", "中", "[CLS]")
texts = strategies.lists(
    strategies.sampled_from(PARTS) | strategies.sampled_from((" ", "  ", "\n\t")), max_size=12
).map("".join)
light = hypothesis.settings(
    deadline=None, suppress_health_check=list(hypothesis.HealthCheck), max_examples=50
)


def spans(tokenizer, text):
    """Returns [(piece, the characters that it covers)].

    The mark that begins a text stands for no character, and is left out where it is all of a piece.
    """
    aligned = encode_aligned(tokenizer, text)
    covered = [text[start : end + 1] for start, end in zip(aligned.starts, aligned.ends)]
    pairs = list(zip(tokenizer.tokenize(text), covered))
    return pairs[1:] if pairs and pairs[0][0] == MARK else pairs


@light
@hypothesis.given(texts)
def test_ids_are_those_of_the_pieces_with_their_commas_split_off(sentencepiece_tokenizer, text):
    pieces = sentencepiece_tokenizer.tokenize(text)
    assert "15," in sentencepiece_tokenizer.vocab and "15," not in pieces
    ids = sentencepiece_tokenizer.convert_tokens_to_ids(pieces)
    special = {"[CLS]", "[SEP]", "[MASK]", "<pad>"}
    assert sentencepiece_tokenizer.encode(text) == ids and not special & set(pieces)


@light
@hypothesis.given(
    strategies.lists(strategies.sampled_from(("hello", "world", "lazy", "quick", "over", "zzz")))
)
def test_each_piece_covers_the_characters_that_it_spells(sentencepiece_tokenizer, words):
    text = " ".join(words)
    pairs = spans(sentencepiece_tokenizer, text)
    assert [covered.strip() for _, covered in pairs] == [piece.strip(MARK) for piece, _ in pairs]
    assert "".join(covered for _, covered in pairs) == text


def test_a_word_begins_at_the_first_of_several_spaces(sentencepiece_tokenizer):
    # The pieces are a mark, "he", "l", "l", "o", a mark with "w", "or", "l" and "d".
    pairs = spans(sentencepiece_tokenizer, "  hello \n\t world")
    assert [covered for _, covered in pairs] == ["he", "l", "l", "o", " \n\t w", "or", "l", "d"]


@pytest.mark.parametrize("dropped", ["\x07", "\x07" * 14])
def test_characters_that_only_the_model_drops_are_passed_over(sentencepiece_tokenizer, dropped):
    pairs = spans(sentencepiece_tokenizer, f"hello{dropped}world")
    assert [covered for _, covered in pairs] == ["he", "l", "l", "o", "w", "or", "l", "d"]


def test_the_vocabulary_file_is_not_read_beside_a_model(sentencepiece_model, tmp_path):
    absent = str(tmp_path / "absent.txt")
    tokenizer = tokenization.FullTokenizer(absent, spm_model_file=str(sentencepiece_model))
    assert tokenizer.vocab["[CLS]"] == tokenizer.cls_id == 2


def test_a_model_that_is_cut_short_is_refused(sentencepiece_model, tmp_path):
    content = sentencepiece_model.read_bytes()
    (tmp_path / "short.model").write_bytes(content[: len(content) // 2])
    with pytest.raises(UsageError, match="short.model is not a SentencePiece model"):
        tokenization.FullTokenizer(None, spm_model_file=str(tmp_path / "short.model"))
