"""Tests of albert.tagging.tags and metrics, against conlleval's rules by hand."""

import pytest

from albert.tagging import metrics, tags


@pytest.mark.parametrize(
    ("found", "scheme", "all_tags"),
    [
        (["O", "B-X"], "BIO", ["O", "B-X", "I-X"]),
        (["I-X", "O", "B-Y"], "BIO", ["O", "B-X", "I-X", "B-Y", "I-Y"]),
        (["O", "S-X"], "BIOES", ["O", "B-X", "I-X", "E-X", "S-X"]),
        (["VERB", "NOUN", "VERB"], "plain", ["NOUN", "VERB"]),
        (["O", "PER"], "plain", ["O", "PER"]),
        (["O", "B-a-b"], "BIO", ["O", "B-a-b", "I-a-b"]),
    ],
)
def test_the_scheme_is_told_from_the_tags(found, scheme, all_tags):
    assert tags.scheme_of(found) == scheme
    assert tags.all_tags(found, scheme) == all_tags
    assert all(tags.is_tag(tag, scheme) for tag in all_tags)
    assert tags.scheme_of(all_tags) == scheme


def test_tags_of_another_scheme_are_told():
    assert [tags.is_tag(tag, "BIO") for tag in ("B-", "X", "E-X", "U-X", "", "B_X")] == 6 * [False]
    assert [tags.is_tag(tag, "BIOES") for tag in ("E-X", "S-X", "L-X", "O")] == [
        True,
        True,
        False,
        True,
    ]


# The rules of conlleval: an entity begins at B or S, at I or E where none of its type goes on, and
# ends before O, B or S, another type, or after E or S.
@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("O B-X I-X O", [("X", 1, 2)]),
        ("B-X B-X I-X", [("X", 0, 0), ("X", 1, 2)]),  # a nested start ends the first one
        ("O I-X I-X", [("X", 1, 2)]),  # I without B
        ("I-X I-Y", [("X", 0, 0), ("Y", 1, 1)]),  # types that cross
        ("B-X I-Y I-Y", [("X", 0, 0), ("Y", 1, 2)]),
        ("B-X", [("X", 0, 0)]),
        ("O O", []),
        ("S-X B-X I-X E-X S-Y", [("X", 0, 0), ("X", 1, 3), ("Y", 4, 4)]),
        ("E-X E-X", [("X", 0, 0), ("X", 1, 1)]),
        ("B-X E-X I-X", [("X", 0, 1), ("X", 2, 2)]),
        ("I-X E-X O E-Y", [("X", 0, 1), ("Y", 3, 3)]),
        ("B-X O I-X", [("X", 0, 0), ("X", 2, 2)]),
    ],
)
def test_entities_are_those_of_conlleval(sentence, expected):
    assert tags.entities(sentence.split()) == expected
    # An entity never goes on in the next sentence.
    scores = metrics.of_entities(*2 * [[sentence.split(), ["I-X"]]], ["X", "Y"])
    assert scores["f1"] == scores["recall_X"] == 1.0


def test_scores_count_whole_entities():
    gold = [line.split() for line in ("B-X I-X O B-Y", "O B-X", "B-Y I-Y", "O")]
    predicted = [line.split() for line in ("B-X O O B-Y", "B-Z B-X", "I-Y I-Y", "O")]
    scores = metrics.of_entities(gold, predicted, ["W", "X", "Y", "Z"])
    # Predicted: X at 0 alone (wrong), Y, Z (wrong), X, Y: 3 of 5 right; gold has 4.
    assert scores["precision"] == pytest.approx(3 / 5)
    assert scores["recall"] == pytest.approx(3 / 4)
    assert scores["f1"] == pytest.approx(2 * 3 / 9)
    assert scores["accuracy"] == pytest.approx(6 / 9)  # tokens wrong: I-X, the Z, and I-Y for B-Y
    assert (scores["precision_X"], scores["recall_X"], scores["f1_X"]) == (0.5, 0.5, 0.5)
    assert (scores["f1_Y"], scores["f1_Z"], scores["f1_W"]) == (1.0, 0.0, 0.0)
    nothing = metrics.of_entities([["O"]], [["O"]], [])
    assert (nothing["f1"], nothing["accuracy"]) == (0.0, 1.0)


def test_plain_tags_are_scored_one_by_one():
    scores = metrics.of_plain([["N", "V"], ["N"]], [["N", "N"], ["N"]])
    assert scores == pytest.approx({"accuracy": 2 / 3, "macro_f1": (0.8 + 0.0) / 2})
