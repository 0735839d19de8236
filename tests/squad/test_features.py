"""Tests of albert.squad.features: windows of contexts, by hand and against the original."""

import gzip
import json
import types

import hypothesis
import pytest
from hypothesis import strategies

from albert import tokenization
from albert.common.errors import UsageError
from albert.squad import features as squad_features
from albert.squad import files as squad_files
from albert.text.alignment import AlignedTokens, encode_aligned

TOKENIZER = types.SimpleNamespace(cls_id=2, sep_id=3)
QUESTION = [50, 51]


def windows_of(num_tokens, max_seq_length=11, doc_stride=3):
    """Returns the windows of a context of tokens 100, 101, ...; six of them fit in one."""
    context = list(range(100, 100 + num_tokens))
    return squad_features.make_windows(TOKENIZER, QUESTION, context, max_seq_length, doc_stride)


def test_short_context_is_one_window():
    (window,) = windows_of(4)
    assert window.input_ids == [2, 50, 51, 3, 100, 101, 102, 103, 3]
    assert window.segment_ids == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert window.p_mask == [0, 1, 1, 1, 0, 0, 0, 0, 1]
    assert (window.offset, window.begin, window.num_tokens) == (4, 0, 4)


@pytest.mark.parametrize(
    "num_tokens, expected",
    [
        (6, [(0, 6)]),
        (7, [(0, 6), (3, 4)]),
        (9, [(0, 6), (3, 6)]),
        (10, [(0, 6), (3, 6), (6, 4)]),
    ],
)
def test_windows_begin_every_stride_until_one_reaches_the_end(num_tokens, expected):
    windows = windows_of(num_tokens)
    assert [(window.begin, window.num_tokens) for window in windows] == expected
    for window in windows:
        shown = window.input_ids[window.offset : window.offset + window.num_tokens]
        assert shown == list(range(100 + window.begin, 100 + window.end))


def test_stride_longer_than_the_window_leaves_nothing_out():
    windows = windows_of(14, doc_stride=100)
    assert [(window.begin, window.num_tokens) for window in windows] == [(0, 6), (6, 6), (12, 2)]


def test_empty_context_is_a_window_of_the_question_alone():
    (window,) = windows_of(0)
    assert window.input_ids == [2, 50, 51, 3, 3]
    assert window.num_tokens == 0
    assert squad_features.best_windows([window]) == []


@pytest.mark.parametrize(
    "changes, setting",
    [({"max_seq_length": 5}, "max_seq_length=5"), ({"doc_stride": 0}, "doc_stride=0")],
)
def test_impossible_lengths_are_refused(changes, setting):
    with pytest.raises(UsageError, match=f"^{setting} "):
        windows_of(10, **changes)


def test_best_window_of_a_token_shows_most_around_it():
    # Windows 0-5, 3-8, 6-9. Token 4 has 1 token after it in the first and 1 before it in the
    # second; the lengths are equal, so the first one wins.
    assert squad_features.best_windows(windows_of(10)) == [0, 0, 0, 0, 0, 1, 1, 1, 2, 2]


def test_a_window_that_shows_one_token_more_before_or_after_is_the_best():
    # Windows 0-5, 2-7, 4-7. Token 4 has 1 token after it in the first, 2 before it in the second.
    assert squad_features.best_windows(windows_of(8, doc_stride=2)) == [0, 0, 0, 0, 1, 1, 1, 1]


def window_at(begin, num_tokens):
    return squad_features.SquadWindow([], [], [], 0, begin, num_tokens)


def test_a_hundred_tokens_more_in_a_window_weigh_as_one_token_more_beside_it():
    # Token 200 has 1 token after it in the first window, and 2 before it in the others.
    first, token = window_at(0, 202), 200
    for num_tokens, expected in ((103, 1), (101, 0)):
        windows = [first, window_at(198, num_tokens)]
        assert squad_features.best_windows(windows)[token] == expected


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(
    num_tokens=strategies.integers(0, 600),
    max_seq_length=strategies.integers(6, 450),
    doc_stride=strategies.integers(1, 200),
)
def test_best_windows_are_those_of_the_rule(num_tokens, max_seq_length, doc_stride):
    windows = windows_of(num_tokens, max_seq_length, doc_stride)[:50]
    expected = []
    for token in range(windows[-1].end):
        scores = [
            min(token - window.begin, window.end - 1 - token) + 0.01 * window.num_tokens
            if window.begin <= token < window.end
            else -1.0
            for window in windows
        ]
        expected.append(scores.index(max(scores)))
    assert squad_features.best_windows(windows) == expected


def test_finding_the_best_windows_takes_time_in_proportion_to_their_number(monkeypatch):
    windows = windows_of(3000)
    ends_read = []
    monkeypatch.setattr(
        squad_features.SquadWindow,
        "end",
        property(lambda window: ends_read.append(None) or window.begin + window.num_tokens),
    )
    squad_features.best_windows(windows)
    assert len(ends_read) <= 2 * len(windows)  # comparing every token in every window: 3 million


def test_window_has_positions_only_for_a_whole_answer():
    first, second = windows_of(9)
    assert first.positions(4, 5) == (8, 9)
    assert second.positions(4, 5) == (5, 6)
    assert first.positions(5, 6) is None
    assert second.positions(2, 3) is None


@pytest.mark.parametrize(
    "begin, text, expected",
    [(0, "ab", (0, 0)), (1, "b cd", (0, 2)), (3, "c", (1, 1)), (5, "!", (3, 3))],
)
def test_answer_takes_every_token_that_it_touches(begin, text, expected):
    aligned = AlignedTokens([7, 8, 9, 10], [0, 2, 4, 5], [1, 3, 4, 5])  # "ab cd!": ab| c|d|!
    assert squad_features.answer_tokens(aligned, begin, text) == expected


def test_windows_of_real_questions_are_those_of_the_original(shared_data):
    tokenizer = tokenization.FullTokenizer(
        None, spm_model_file=str(shared_data / "spm" / "30k-clean.model")
    )
    rows = {}
    with gzip.open(
        str(shared_data / "oracle" / "squad_features.jsonl.gz"), "rt", encoding="utf-8"
    ) as reader:
        for line in reader:
            row = json.loads(line)
            rows.setdefault((row["file"], row["qid"]), []).append(row)
    num_checked = 0
    for name in ("dev-v1.1.json", "train-v1.1.part.json", "train-v2.0.part.json"):
        for paragraph in squad_files.read_squad(str(shared_data / "squad" / name)).paragraphs:
            asked = [question for question in paragraph.questions if (name, question.id) in rows]
            aligned = encode_aligned(tokenizer, paragraph.context) if asked else None
            for question in asked:
                expected = rows[name, question.id]
                found = original_form(tokenizer, aligned, question, "train" in name)
                keys = ("ids", "max_context", "start", "end", "impossible")
                assert found == [tuple(row[key] for key in keys) for row in expected]
                num_checked += len(found)
    assert num_checked == 1757


def original_form(tokenizer, aligned, question, is_training):
    """Returns the windows of a question as the oracle has them."""
    question_ids = tokenizer.encode(question.question)[:64]
    windows = squad_features.make_windows(tokenizer, question_ids, aligned.ids, 384, 128)
    best = squad_features.best_windows(windows)
    found = []
    for number, window in enumerate(windows):
        max_context = [
            window.offset + token - window.begin
            for token in range(window.begin, window.end)
            if best[token] == number
        ]
        start, end, is_impossible = None, None, False
        if is_training:
            positions = None
            if not question.is_impossible:
                text, begin = question.answers[0]
                positions = window.positions(*squad_features.answer_tokens(aligned, begin, text))
            start, end = positions or (0, 0)
            is_impossible = positions is None
        found.append((window.input_ids, max_context, start, end, is_impossible))
    return found
