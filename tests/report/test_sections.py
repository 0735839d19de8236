"""Tests of albert.report.sections and what it counts with: expected values are counted by hand."""

import math

import pytest
from sample_runs import answered, classified, labelled, scored, tagged, write_rows

from albert.report import counts, predictions, sections


def section_of(folder, rows):
    write_rows(folder, rows)
    (section,) = sections.of_predictions(predictions.read(str(folder)), "x")
    return section


def numbers_of(found):
    return [example.number for example in found]


# Classification


def test_counts_of_a_classification(tmp_path):
    pairs = [("no", "no")] * 3 + [("no", "yes")] + [("yes", "no")] * 2 + [("yes", "yes")] * 4
    section = section_of(tmp_path, [classified(i, *pair) for i, pair in enumerate(pairs)])
    assert dict(section.facts) == {"examples": 10, "wrong": 3, "accuracy": 0.7}
    assert section.confusion.labels == ["no", "yes"]
    assert section.confusion.counts == [[3, 1], [2, 4]]
    (table,) = section.tables
    (_, *no), (_, *yes) = table.rows
    assert no == pytest.approx([3 / 5, 3 / 4, 2 / 3, 4])
    assert yes == pytest.approx([4 / 5, 4 / 6, 8 / 11, 6])
    assert table.footer[0] == ["macro average", *map(pytest.approx, (0.7, 17 / 24, 23 / 33)), 10]
    assert table.footer[1][:3] == ["weighted average", pytest.approx(0.72), pytest.approx(0.7)]


def test_labels_have_the_order_of_the_model_and_unknown_ones_come_last(tmp_path):
    rows = [classified(0, "x", "b", labels=("b", "a"))]
    assert section_of(tmp_path, rows).confusion.labels == ["b", "a", "x"]


def test_wrong_predictions_with_the_highest_probability_come_first(tmp_path):
    probabilities = [0.6, 0.9, None, 0.7]
    rows = [classified(i, "no", "yes", p) for i, p in enumerate(probabilities)]
    rows.append(classified(4, "yes", "yes", 0.99))
    section = section_of(tmp_path, rows)
    assert numbers_of(section.wrong) == [1, 3, 0, 2]
    assert section.num_wrong == 4


def test_a_cell_has_its_examples(tmp_path):
    pairs = ["ab", "ba", "ab", "aa", "ca"]
    rows = [classified(i, *pair, labels="abc") for i, pair in enumerate(pairs)]
    cells = section_of(tmp_path, rows).cells
    found = {(cell.row, cell.column): numbers_of(cell.examples) for cell in cells}
    assert found == {(0, 1): [0, 2], (1, 0): [1], (2, 0): [4]}
    assert (cells[0].row, cells[0].column, cells[0].num_examples) == (0, 1, 2)


def test_the_numbers_of_cells_and_examples_are_limited(tmp_path):
    labels = "abcdef"
    pairs = [(gold, predicted) for gold in labels for predicted in labels if gold != predicted]
    rows = [classified(i, *pairs[i % 30], labels=labels) for i in range(600)]
    section = section_of(tmp_path, rows)
    assert len(section.wrong) == 50 and section.num_wrong == 600
    assert len(section.cells) == 20
    assert {(cell.num_examples, len(cell.examples)) for cell in section.cells} == {(20, 10)}


def test_of_many_classes_those_with_most_errors_are_shown():
    labels = [f"l{number}" for number in range(500)]
    gold = [*labels, *["l400"] * 5, "l300", "l7"]
    predicted = [*labels, *["l401"] * 5, "l400", "l499"]
    ids = counts.ids_of(gold, labels), counts.ids_of(predicted, labels)
    confusion = counts.confusion_of(*ids, labels)
    assert {"l300", "l400", "l401", "l7", "l499"} <= set(confusion.labels)
    assert len(confusion.labels) == 20 and confusion.num_others == 480
    at = confusion.labels.index
    assert confusion.counts[at("l400")][at("l401")] == 5
    assert confusion.counts[at("l300")][at("l400")] == 1
    assert confusion.counts[-1][-1] == 480
    assert sum(map(sum, confusion.counts)) == len(gold)


def test_a_cell_is_shaded_by_its_share_of_the_row():
    confusion = counts.Confusion(["a", "b"], [[3, 1], [0, 0]])
    assert confusion.shade(0, 1) == 0.5
    assert confusion.shade(1, 1) == 0.0


# Any number of labels


def test_counts_of_label_sets(tmp_path):
    rows = [
        labelled(0, ["a", "b"], ["a"], 0.2),
        labelled(1, ["a"], ["a", "c"], 0.9),
        labelled(2, [], [], 0.1),
        labelled(3, ["b", "a"], ["a", "b"], 5.0),
        labelled(4, ["c"], [], None),
    ]
    section = section_of(tmp_path, rows)
    assert dict(section.facts) == {"examples": 5, "wrong": 3, "accuracy": 0.4}
    (table,) = section.tables
    assert table.rows == [
        ["a", 1.0, 1.0, 1.0, 3],
        ["b", 1.0, 0.5, pytest.approx(2 / 3), 2],
        ["c", 0.0, 0.0, 0.0, 1],
    ]
    assert table.footer[0] == ["micro average", *map(pytest.approx, (0.8, 4 / 6, 8 / 11)), 6]
    assert numbers_of(section.wrong) == [1, 0, 4]


# Regression


def test_errors_of_a_regression(tmp_path):
    rows = [scored(0, 1, 1.5), scored(1, 2, 0), scored(2, 3, 4)]
    section = section_of(tmp_path, rows)
    facts = dict(section.facts)
    assert facts["examples"] == 3
    assert facts["mse"] == pytest.approx((0.25 + 4 + 1) / 3)
    assert facts["mean absolute error"] == pytest.approx(3.5 / 3)
    assert facts["spearman"] == pytest.approx(0.5)
    assert numbers_of(section.wrong) == [1, 2, 0]
    assert section.figure.startswith("<svg")


def test_a_regression_that_diverged_has_no_scores(tmp_path):
    section = section_of(tmp_path, [scored(0, 1, None), scored(1, 2, 2.5)])
    assert dict(section.facts) == {"examples": 2}
    assert numbers_of(section.wrong) == [1, 0]


# Answers


def test_scores_of_answers_with_and_without_answer(tmp_path):
    rows = [
        answered(0, ["Ann"], "Ann", exact=1, f1=1.0),
        answered(1, ["Ann"], "Bob", 0.3),
        answered(2, ["Ann"], "", 0.9),
        answered(3, [], "", exact=1, f1=1.0),
        answered(4, [], "Ann", 0.4),
        answered(5, ["Ann met"], "Ann", 0.8, f1=0.8),
    ]
    section = section_of(tmp_path, rows)
    assert dict(section.facts) == {"questions": 6, "not exact": 4}
    (table,) = section.tables
    assert table.rows == [
        ["all", 6, "33.33", "46.67"],
        ["with answer", 4, "25.00", "45.00"],
        ["without answer", 2, "50.00", "50.00"],
    ]
    assert section.confusion.labels == ["answer", "no answer"]
    assert section.confusion.counts == [[3, 1], [1, 1]]
    assert numbers_of(section.wrong) == [2, 4, 1]
    found = {(cell.row, cell.column): numbers_of(cell.examples) for cell in section.cells}
    assert found == {(0, 1): [2], (1, 0): [4]}


def test_where_every_question_has_an_answer_there_is_no_matrix(tmp_path):
    section = section_of(tmp_path, [answered(0, ["Ann"], "Bob")])
    assert section.confusion is None
    assert [row[0] for row in section.tables[0].rows] == ["all"]


def test_the_answer_is_marked_in_its_surroundings(tmp_path):
    text = "x" * 5000 + " Ann Ann " + "y" * 5000
    row = answered(0, ["Bob"], "Ann", text=text, start=5005)
    (example,) = section_of(tmp_path, [row]).wrong
    before, marked, after = dict(example.parts)["context"]
    assert before.text == "…" + text[5005 - 400 : 5005]
    assert (marked.text, marked.is_marked) == ("Ann", True)
    assert after.text == text[5008:][:400] + "…"


def test_a_long_text_is_cut(tmp_path):
    row = classified(0, "no", "yes", text="é" * 1001, text_pair="e" * 1000)
    (example,) = section_of(tmp_path, [row]).wrong
    parts = {name: "".join(piece.text for piece in pieces) for name, pieces in example.parts}
    assert parts == {"text": "é" * 1000 + "…", "second text": "e" * 1000}


# Tags


def test_counts_of_entities_and_tokens(tmp_path):
    rows = [
        tagged(0, "Ann Lee met Bob", "B-PER I-PER O B-PER", "B-PER I-PER O B-LOC", 0.6),
        tagged(1, "in Ulm", "O B-LOC", "O B-LOC"),
        tagged(2, "at Acme", "O B-ORG", "B-LOC B-ORG", 0.8),
    ]
    section = section_of(tmp_path, rows)
    facts = dict(section.facts)
    assert (facts["sentences"], facts["wrong"], facts["tokens"]) == (3, 2, 8)
    assert facts["accuracy of tokens"] == 0.75
    (table,) = section.tables
    assert table.rows == [
        ["LOC", pytest.approx(1 / 3), 1.0, 0.5, 1],
        ["ORG", 1.0, 1.0, 1.0, 1],
        ["PER", 1.0, 0.5, pytest.approx(2 / 3), 2],
    ]
    assert table.footer[0] == ["micro average", pytest.approx(3 / 5), 0.75, pytest.approx(2 / 3), 4]
    assert section.confusion.labels == ["LOC", "ORG", "PER", "O"]
    assert section.confusion.counts == [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 2, 0], [1, 0, 0, 2]]
    assert numbers_of(section.wrong) == [2, 0]


@pytest.mark.parametrize(
    ("gold", "predicted", "rows"),
    [
        ("S-PER O", "S-PER O", [["PER", 1.0, 1.0, 1.0, 1]]),
        ("B-PER E-PER", "B-PER I-PER", [["PER", 1.0, 1.0, 1.0, 1]]),
        ("O O", "O O", [["O", 1.0, 1.0, 1.0, 2]]),
        ("NOUN VERB", "NOUN NOUN", [["NOUN", 0.5, 1.0, 2 / 3, 1], ["VERB", 0.0, 0.0, 0.0, 1]]),
    ],
)
def test_tags_of_every_scheme_are_scored(tmp_path, gold, predicted, rows):
    (table,) = section_of(tmp_path, [tagged(0, "a b", gold, predicted)]).tables
    assert list(table.rows) == rows


def test_entities_are_marked_in_a_sentence(tmp_path):
    gold = "B-PER I-PER B-PER O B-LOC"
    row = tagged(0, "Ann Lee Bob in Ulm", gold, "O O O O B-LOC")
    (example,) = section_of(tmp_path, [row]).wrong
    parts = dict(example.parts)
    assert [(piece.text, piece.note) for piece in parts["gold"]] == [
        ("Ann Lee", "PER"),
        (" ", ""),
        ("Bob", "PER"),
        (" ", ""),
        ("in", ""),
        (" ", ""),
        ("Ulm", "LOC"),
    ]
    assert "".join(piece.text for piece in parts["predicted"]) == "Ann Lee Bob in Ulm"
    assert [piece for piece in parts["predicted"] if piece.is_marked] == [("Ulm", True, "LOC")]


def test_of_a_long_sentence_the_surroundings_of_the_first_error_are_shown(tmp_path):
    tokens = " ".join(f"w{number}" for number in range(400))
    gold = ["O"] * 400
    gold[300] = "B-PER"
    row = tagged(0, tokens, " ".join(gold), " ".join(["O"] * 400))
    (example,) = section_of(tmp_path, [row]).wrong
    text = "".join(piece.text for piece in dict(example.parts)["gold"])
    assert text.startswith("… w250 ") and "w300" in text and "w249" not in text


def test_the_confidence_in_errors_leaves_out_right_tags(tmp_path):
    row = tagged(0, "a b", "O O", "O B-PER")
    row["probabilities"] = [0.9, 0.4]
    (example,) = section_of(tmp_path, [row]).wrong
    assert dict(example.facts) == {"probability": 0.4}
    row["probabilities"] = [0.9, None]
    (example,) = section_of(tmp_path, [row]).wrong
    assert math.isnan(dict(example.facts)["probability"])
