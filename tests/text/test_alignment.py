"""Tests of albert.text.alignment: which characters of a text a token covers."""

import bisect
import gzip
import json
import pathlib

import hypothesis
import pytest
import tiny
from hypothesis import strategies

from albert import tokenization
from albert.squad import files as squad_files
from albert.text.alignment import encode_aligned

CONFTEST_DATA = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"
# White space, accents composed and combining, letters that become two, right-to-left, emoji.
STRANGE = (
    " \t\n\u00a0\u3000\u200b\ufeffAaéE\u0301\u0130ßΣςﬁ½①…¨;;中文가각سي\u064bא🙂👩\u200d🚀,.1\ud800"
)
texts = strategies.one_of(
    strategies.text(strategies.sampled_from(STRANGE), max_size=30), strategies.text(max_size=30)
)
words = strategies.lists(
    strategies.text(strategies.sampled_from("abcdeéßx1中"), min_size=1, max_size=8),
    min_size=1,
    max_size=12,
)


any_text = hypothesis.settings(
    deadline=None, suppress_health_check=list(hypothesis.HealthCheck), max_examples=300
)


@any_text
@hypothesis.given(text=texts)
def test_offsets_never_decrease_and_lie_within_the_text(tokenizer, text):
    aligned = encode_aligned(tokenizer, text)
    assert aligned.ids == tokenizer.encode(text)
    assert len(aligned.ids) == len(aligned.starts) == len(aligned.ends)
    assert list(aligned.starts) == sorted(aligned.starts)
    assert list(aligned.ends) == sorted(aligned.ends)
    for start, end in zip(aligned.starts, aligned.ends):
        assert 0 <= start <= end < len(text)


@any_text
@hypothesis.given(words=words, data=strategies.data())
def test_whole_words_come_back_unchanged(tokenizer, words, data):
    space = data.draw(strategies.sampled_from([" ", "  ", "\n\t", "\u00a0"]))
    text = space.join(words)
    first = data.draw(strategies.integers(0, len(words) - 1))
    last = data.draw(strategies.integers(first, len(words) - 1))
    begin = len(space.join([*words[:first], ""]))
    answer = space.join(words[first : last + 1])
    assert through_tokens(encode_aligned(tokenizer, text), text, begin, answer) == answer


def through_tokens(aligned, text, begin, answer):
    """Returns the text of the tokens that an answer touches."""
    first = bisect.bisect_right(aligned.starts, begin) - 1
    last = bisect.bisect_left(aligned.ends, begin + len(answer) - 1)
    return text[aligned.starts[first] : aligned.ends[last] + 1].strip()


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Super  song", [("super", "Super"), ("s", "s"), ("##o", "o"), ("##n", "n"), ("##g", "g")]),
        ("Singing", [("sing", "Sing"), ("##ing", "ing")]),
        ("E\u0301a中b", [("e", "E"), ("##a", "a"), ("中", "中"), ("b", "b")]),
        ("qüx a♥b", [("q", "q"), ("##u", "ü"), ("##x", "x"), ("[UNK]", "a♥b")]),
        ("\u200bx", [("x", "x")]),
    ],
)
def test_wordpiece_tokens_cover_their_characters(wordpiece, text, expected):
    aligned = encode_aligned(wordpiece, text)
    spans = [text[start : end + 1] for start, end in zip(aligned.starts, aligned.ends)]
    assert list(zip(wordpiece.convert_ids_to_tokens(aligned.ids), spans)) == expected


@pytest.mark.parametrize("text", ["", " ", "\u0301", "\u200b"])
def test_text_without_characters_to_encode_is_not_an_error(tokenizer, text):
    aligned = encode_aligned(tokenizer, text)
    assert aligned.ids == tokenizer.encode(text)


@pytest.fixture(scope="module")
def sentencepiece_letters(tmp_path_factory):
    """Returns a SentencePiece tokenizer of two letters, and `/` inside a word."""
    folder = tmp_path_factory.mktemp("sentencepiece")
    tiny.write_vocabulary(folder, ["a", "b", "a/b", "b/a"])
    return tokenization.FullTokenizer(None, spm_model_file=str(folder / "30k-clean.model"))


@pytest.mark.parametrize(
    "text, expected",
    [
        # The first white space of a run belongs to the token after it.
        ("a  b", [("_a", 0, 0), ("_b", 1, 3)]),
        (" \n a \t", [("_a", 3, 3)]),
        # To SentencePiece, but not to Python, U+FEFF and U+200B are white space.
        ("a\ufeff / b", [("_a", 0, 0), ("_", 2, 2), ("/", 3, 3), ("_b", 4, 5)]),
        ("a\u200b b", [("_a", 0, 0), ("_b", 2, 3)]),
        ("a \ufeffb", [("_a", 0, 0), ("_b", 1, 3)]),
        ("a\ufeffb c", [("_a", 0, 0), ("_b", 2, 2), ("_", 3, 3), ("<unk>", 4, 4)]),
        ("\ufeff/", [("_", 0, 0), ("/", 1, 1)]),
        # It drops control characters.
        ("a\x01/\x02 b", [("_a", 0, 0), ("/", 2, 2), ("_b", 4, 5)]),
    ],
)
def test_sentencepiece_tokens_cover_their_characters(sentencepiece_letters, text, expected):
    aligned = encode_aligned(sentencepiece_letters, text)
    pieces = sentencepiece_letters.convert_ids_to_tokens(aligned.ids)
    shown = [piece.replace("\u2581", "_") for piece in pieces]
    assert list(zip(shown, aligned.starts, aligned.ends)) == expected


# --- Real contexts


@pytest.fixture(scope="module")
def contexts():
    """Returns {(file, question id): (context, question)} of the real files."""
    if not CONFTEST_DATA.is_dir():
        pytest.skip("needs the real data in ../shared/data")
    found = {}
    for name in ("dev-v1.1.json", "train-v1.1.part.json", "train-v2.0.part.json"):
        data = squad_files.read_squad(str(CONFTEST_DATA / "squad" / name))
        for paragraph in data.paragraphs:
            for question in paragraph.questions:
                found[name, question.id] = paragraph.context, question
    return found


@pytest.fixture(scope="module")
def aligned_contexts(contexts, official_sentencepiece):
    """Returns {context: AlignedTokens}."""
    distinct = {context for context, _ in contexts.values()}
    return {context: encode_aligned(official_sentencepiece, context) for context in distinct}


def test_offsets_in_real_contexts_are_those_of_the_original(contexts, aligned_contexts):
    oracle = CONFTEST_DATA / "oracle" / "squad_features.jsonl.gz"
    num_pieces, different = 0, []
    with gzip.open(str(oracle), "rt", encoding="utf-8") as reader:
        windows = [json.loads(line) for line in reader]
    for window in windows:
        context, _ = contexts[window["file"], window["qid"]]
        aligned = aligned_contexts[context]
        begin = 128 * window["span"]
        for token, expected in enumerate(zip(window["start_map"], window["end_map"]), begin):
            num_pieces += 1
            if (aligned.starts[token], aligned.ends[token]) != expected:
                different.append((context, aligned.starts[token], aligned.ends[token], expected))
        end = begin + len(window["start_map"])
        assert aligned.ids[begin:end] == window["ids"][-1 - (end - begin) : -1]
    assert num_pieces > 290000
    # In this one ours is right: a first word begins at its first letter.
    ((context, *ours, others),) = different
    assert (ours, others, context[:4]) == ([1, 3], (0, 3), " Sea")


def test_gold_answers_survive_the_way_to_pieces_and_back(contexts, aligned_contexts):
    num_answers, num_same = 0, 0
    for (name, _), (context, question) in contexts.items():
        if name == "dev-v1.1.json":
            text, begin = question.answers[0]
            num_answers += 1
            aligned = aligned_contexts[context]
            num_same += through_tokens(aligned, context, begin, text) == text.strip()
    # As many as in the original; the others begin or end inside a piece.
    assert num_answers == 10570
    assert num_same / num_answers >= 0.9959
