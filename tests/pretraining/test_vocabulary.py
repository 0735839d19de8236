"""Tests of albert.pretraining.vocabulary."""

import json
import logging

import pytest
import sample_pretraining
import sentencepiece

from albert import tokenization
from albert.common.errors import UsageError
from albert.pretraining import vocabulary

TEXT = "the quick brown fox\njumps over The lazy dog\n\nhow vexingly quick daft zebras jump\n" * 5
SETTINGS = vocabulary.VocabularySettings(vocab_size=43, do_lower_case=True, random_seed=1)


@pytest.fixture
def prefix(tmp_path):
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    return str(tmp_path / "P")


@pytest.fixture
def paths(prefix, tmp_path):
    return [str(tmp_path / "text")]


def ensure(prefix, paths, **changes):
    return vocabulary.ensure(prefix, paths, SETTINGS._replace(**changes))


def test_a_vocabulary_has_alberts_special_tokens_and_the_text_s_pieces(prefix, paths):
    ensure(prefix, paths)
    tokenizer = tokenization.FullTokenizer(None, spm_model_file=f"{prefix}.model")
    specials = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", *'()"-.–£€']
    assert list(tokenizer.vocab)[:13] == specials
    assert tokenizer.vocab_size == 43
    ids = tokenizer.encode("The quick dog (1)")
    assert "".join(tokenizer.convert_ids_to_tokens(ids)).startswith("▁the▁quick▁dog▁(")
    assert all(token == token.lower() for token in tokenizer.vocab if token[0] != "[")


def test_the_listing_is_in_the_format_of_sentencepiece(tmp_path, prefix, paths):
    ensure(prefix, paths)
    written = (tmp_path / "P.vocab").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in written.splitlines()]
    processor = sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")
    assert [row[0] for row in rows] == [processor.IdToPiece(index) for index in range(43)]
    scores = [processor.GetScore(index) for index in range(43)]
    assert [float(row[1]) for row in rows] == pytest.approx(scores, rel=1e-5)


def test_the_listing_of_the_released_model_is_the_released_listing(shared_data):
    folder = shared_data / "spm"
    expected = (folder / "30k-clean.vocab").read_text(encoding="utf-8")
    assert vocabulary.listing(str(folder / "30k-clean.model")) == expected


def test_training_again_gives_the_same_model(tmp_path):
    lines = TEXT.split("\n")
    for name in ("one", "two"):
        vocabulary.train(lines, SETTINGS, str(tmp_path / name))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_complete_vocabulary_is_not_trained_again(tmp_path, prefix, paths, caplog):
    caplog.set_level(logging.INFO)
    record = ensure(prefix, paths)
    model = (tmp_path / "P.model").read_bytes()
    caplog.clear()
    assert ensure(prefix, paths) == record
    assert "Training" not in caplog.text
    assert ensure(prefix, paths, do_lower_case=False) != record
    assert (tmp_path / "P.model").read_bytes() != model
    (tmp_path / "text").write_text(TEXT + "more words\n", encoding="utf-8")
    caplog.clear()
    ensure(prefix, paths, do_lower_case=False)
    assert "Training a vocabulary of 43 pieces" in caplog.text


@pytest.mark.parametrize("damage", ["model", "both"])
def test_a_vocabulary_that_was_lost_is_trained_again(tmp_path, prefix, paths, damage):
    record = ensure(prefix, paths)
    model = (tmp_path / "P.model").read_bytes()
    (tmp_path / "P.model").write_bytes(b"half")
    if damage == "both":
        (tmp_path / "P.vocab").unlink()
    assert ensure(prefix, paths) == record
    assert (tmp_path / "P.model").read_bytes() == model
    assert (tmp_path / "P.vocab").exists()


def test_a_model_of_someone_else_is_not_replaced(tmp_path, prefix, paths):
    (tmp_path / "P.model").write_bytes(b"precious")
    with pytest.raises(UsageError, match="P.model is there already, and this program has not"):
        ensure(prefix, paths)
    assert (tmp_path / "P.model").read_bytes() == b"precious"


@pytest.mark.parametrize(
    "text, vocab_size, message",
    [
        (TEXT, 30000, "vocab_size=30000 is too large for this text: "),
        (TEXT, 20, "vocab_size=20 is too small for the characters of this text: it must be "),
        ("", 60, "input_file: there is no text in it"),
        ("\n \n", 60, "input_file: there is no text in it"),
        ("\u200b", 60, "vocab_size=60: the process that trains the vocabulary ended: the text has"),
    ],
    ids=["short text", "many characters", "no text", "white space", "no words"],
)
def test_text_that_does_not_suit_is_refused_and_leaves_nothing(
    tmp_path, prefix, paths, capfd, text, vocab_size, message
):
    (tmp_path / "text").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        ensure(prefix, paths, vocab_size=vocab_size)
    assert str(caught.value).startswith(message)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]
    assert capfd.readouterr().err == ""


def test_the_largest_and_smallest_sizes_that_are_named_are_possible(prefix, paths):
    for wanted in (30000, 20):
        with pytest.raises(UsageError) as caught:
            ensure(prefix, paths, vocab_size=wanted)
        named = int([word for word in str(caught.value).split() if word.isdigit()][0])
        assert ensure(prefix, paths, vocab_size=named)["vocab_size"] == named


def test_a_line_that_is_no_text_is_named(tmp_path, prefix, paths):
    (tmp_path / "text").write_bytes(b"good\n\xff\n")
    with pytest.raises(UsageError, match="text:2: byte 0 of the line is 0xff"):
        ensure(prefix, paths)


def test_long_lines_are_trained_on_too(tmp_path, prefix, paths):
    ensure(prefix, paths)
    expected = tokenization.FullTokenizer(None, spm_model_file=f"{prefix}.model")
    line = TEXT.replace("\n", " ") * 20  # of more than the 4192 bytes that SentencePiece takes
    (tmp_path / "text").write_text(line, encoding="utf-8")
    ensure(prefix, paths)
    tokenizer = tokenization.FullTokenizer(None, spm_model_file=f"{prefix}.model")
    assert set(tokenizer.vocab) == set(expected.vocab)


def test_real_text_trains_a_vocabulary(tmp_path, shared_data):
    documents = sample_pretraining.squad_documents(shared_data, 3)
    lines = [" ".join(document) for document in documents]
    (tmp_path / "text").write_text("\n".join(lines), encoding="utf-8")
    record = ensure(str(tmp_path / "P"), [str(tmp_path / "text")], vocab_size=1000)
    assert json.loads((tmp_path / "P.manifest.json").read_text())["vocabulary"] == record
