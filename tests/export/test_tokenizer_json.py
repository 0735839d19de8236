"""Tests of albert.export.tokenizer_json, with the library that reads the file."""

import json
import pathlib
import random

import pytest
import tiny
import tiny_glue
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.export import tokenizer_json
from albert.tokenization import FullTokenizer, build_sequence

tokenizers = pytest.importorskip("tokenizers")

SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"
MODEL = SHARED / "spm" / "30k-clean.model"
WORDS = ("red", "green", "blue", "small", "(big)", "1,", "12,", "12", "caf\u00e9", "\u4e2d\u6587")
WORDS += ("pad", "unk", "cls", "sep", "mask")
# Without digits: `tokenizer_json` says what differs where a comma follows one.
TEXTS = st.text(alphabet=st.sampled_from("ab c\t\u3000(),.<>[]\u0301\u00e9\u0130\u4e2d\u00a0"))


def theirs(ours):
    """Returns the library's tokenizer for one of ours."""
    read = tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json.of(ours)))
    if hasattr(read, "encode_special_tokens"):  # as tokenizer_config.json has it
        read.encode_special_tokens = True
    return read


class Pairs(list):
    """Of our tokenizer and the library's; in short, for the reports of failures."""

    def __repr__(self):
        return "the two tokenizers"


def ids_of(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    generator = random.Random(0)
    sentences = [" ".join(generator.choices(WORDS, k=6)) for _ in range(300)]
    tiny.train_sentencepiece(
        sentences,
        model_prefix=str(folder / "tiny"),
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
        user_defined_symbols=["(", ")"],
    )
    return FullTokenizer(None, True, str(folder / "tiny.model"))


@pytest.fixture(scope="module")
def pairs(sentencepiece, tmp_path_factory):
    wordpiece = tiny_glue.make_tokenizer(tmp_path_factory.mktemp("wordpiece"))
    return Pairs((each, theirs(each)) for each in (sentencepiece, wordpiece))


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_any_text_has_the_same_ids(pairs, text):
    for ours, read in pairs:
        assert ids_of(read, text) == ours.encode(text)


def test_pairs_are_packed_alike(pairs):
    for ours, read in pairs:
        first, second = "red (big)", "green 12"
        sequence = build_sequence(ours, ours.encode(first), ours.encode(second), 64)
        found = read.encode(first, second)
        assert (found.ids, found.type_ids) == (sequence.input_ids, sequence.segment_ids)
        sequence = build_sequence(ours, ours.encode(first), None, 64)
        assert read.encode(first).ids == sequence.input_ids


def test_a_comma_after_a_digit_is_a_piece_of_its_own(sentencepiece):
    assert any(piece in sentencepiece.vocab for piece in ("\u25811,", "\u258112,"))
    read = theirs(sentencepiece)
    for text in ("1, 12", "red 12, green", "12, 1, 12"):
        assert ids_of(read, text) == sentencepiece.encode(text)
        assert "," in sentencepiece.tokenize(text)


def test_quotation_marks_stay_as_they_are(sentencepiece):
    for text in ("``red''", "\u201cred\u201d"):
        assert ids_of(theirs(sentencepiece), text) == sentencepiece.encode(text)


@pytest.mark.skipif(
    not hasattr(tokenizers.Tokenizer, "encode_special_tokens"), reason="older tokenizers"
)
def test_text_that_spells_a_special_token_is_text(pairs):
    for ours, read in pairs:
        for text in ("[CLS] red [SEP]", "<pad>", "<unk><pad>x", "[MASK]", "[UNK] [PAD]"):
            assert ids_of(read, text) == ours.encode(text), text


@pytest.mark.skipif(not MODEL.exists(), reason="needs ../shared")
def test_real_texts_have_the_same_ids_but_for_few():
    ours = FullTokenizer(None, True, str(MODEL))
    read = theirs(ours)
    articles = json.loads((SHARED / "squad" / "dev-v1.1.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [each for article in articles for each in article["paragraphs"]]
    texts = [each["context"] for each in paragraphs]
    texts += [question["question"] for each in paragraphs for question in each["qas"]]
    found = [row.ids for row in read.encode_batch(texts, add_special_tokens=False)]
    different = [text for text, a, b in zip(texts, ours.encode_batch(texts), found) if a != b]
    assert len(texts) > 10000 and len(different) < 10, different
