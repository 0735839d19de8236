"""An example of the dev data as the page shows it: texts that are cut, with parts marked."""

import math
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from albert.tagging import tags as tag_lib

_MOST_CHARACTERS = 1000  # of a text
_AROUND = 400  # characters on each side of an answer
_MOST_TOKENS = 150
_MOST_PROBABILITIES = 3

GOLD, PREDICTED = "gold", "predicted"


class Piece(NamedTuple):
    """A piece of a text; `note` stands behind one that is marked."""

    text: str
    is_marked: bool = False
    note: str = ""


class Example(NamedTuple):
    """An example.

    Attributes:
        number: its index in the file.
        facts: (name, value), such as ("gold", "neutral").
        parts: (name, pieces of text).
    """

    number: int
    facts: Sequence[Tuple[str, Any]]
    parts: Sequence[Tuple[str, List[Piece]]]


def example_of(row: Dict[str, Any]) -> Example:
    """Returns the example of a row of predictions.Predictions."""
    if "tokens" in row:
        return Example(row["index"], [("probability", confidence_in_errors(row))], _tagged(row))
    if "exact" in row:
        return Example(row["index"], _facts_of_answer(row), _parts_of_answer(row))
    facts = [(key, _shown(row[key])) for key in (GOLD, PREDICTED)]
    if row.get("probabilities"):
        ranked = sorted(row["probabilities"].items(), key=lambda item: -_or_less(item[1]))
        facts += [(f"p({cut(label, 40)})", p) for label, p in ranked[:_MOST_PROBABILITIES]]
    texts = [("question", row.get("question"))]
    options = zip("ABCD", row.get("options", ()))
    texts += [(f"option {letter}", text) for letter, text in options]
    texts += [("text", row["text"]), ("second text", row.get("text_pair"))]
    parts = [(name, [Piece(cut(text))]) for name, text in texts if text is not None]
    return Example(row["index"], facts, parts)


def cut(text: str, most: int = _MOST_CHARACTERS) -> str:
    """Returns a text, or its beginning and an ellipsis if it is longer than `most` characters."""
    return text if len(text) <= most else text[:most] + "…"


def confidence_in_errors(row: Dict[str, Any]) -> float:
    """Returns the highest probability of a wrong tag of a sentence; NaN if there is none."""
    found = [
        p
        for p, gold, predicted in zip(row["probabilities"], row[GOLD], row[PREDICTED])
        if gold != predicted and not math.isnan(p)
    ]
    return max(found, default=math.nan)


def _or_less(value):
    return -math.inf if math.isnan(value) else value


def _shown(value):
    if isinstance(value, list):
        return ", ".join(cut(each, 100) for each in value) or "none"
    return cut(value, 100) if isinstance(value, str) else value


# Answers to questions


def _facts_of_answer(row):
    golds = list(dict.fromkeys(row[GOLD]))
    return [
        (GOLD, " / ".join(cut(gold, 200) for gold in golds[:5]) or "no answer"),
        (PREDICTED, cut(row[PREDICTED], 200) or "no answer"),
        ("probability", row["score"]),
        ("F1", row["f1"]),
    ]


def _parts_of_answer(row):
    return [("question", [Piece(cut(row["question"]))]), ("context", _surroundings(row))]


def _surroundings(row):
    """Returns the part of a context around the predicted answer, which is marked."""
    text, start = row["text"], row.get("start")
    if start is None or not row[PREDICTED]:
        return [Piece(cut(text))]
    end = start + len(row[PREDICTED])
    before, after = text[:start], text[end:]
    if len(before) > _AROUND:
        before = "…" + before[-_AROUND:]
    return [
        Piece(before),
        Piece(cut(text[start:end]), True),
        Piece(cut(after, _AROUND)),
    ]


# Tags


def _tagged(row):
    """Returns the sentence twice, with the gold and the predicted entities marked."""
    pairs = list(zip(row[GOLD], row[PREDICTED]))
    first_error = next(index for index, (gold, predicted) in enumerate(pairs) if gold != predicted)
    # Of a long sentence, what stands around the first error.
    start = max(0, min(first_error - _MOST_TOKENS // 3, len(pairs) - _MOST_TOKENS))
    shown = slice(start, start + _MOST_TOKENS)
    parts = []
    for key in (GOLD, PREDICTED):
        pieces = _pieces(row["tokens"][shown], row[key][shown])
        if start:
            pieces.insert(0, Piece("… "))
        if start + _MOST_TOKENS < len(pairs):
            pieces.append(Piece(" …"))
        parts.append((key, pieces))
    return parts


def _pieces(tokens: Sequence[str], tags: Sequence[str]) -> List[Piece]:
    """Returns tokens with spaces between them; entities are marked, with their types as notes."""
    found = [Piece(cut(token, 100)) for token in tokens]
    if tag_lib.scheme_of(tags) == tag_lib.PLAIN:
        outside = tag_lib.OUTSIDE
        found = [
            each if tag == outside else each._replace(is_marked=True, note=tag)
            for each, tag in zip(found, tags)
        ]
    else:
        for kind, first, last in reversed(tag_lib.entities(tags)):
            text = " ".join(each.text for each in found[first : last + 1])
            found[first : last + 1] = [Piece(text, True, kind)]
    return [each for piece in found for each in (piece, Piece(" "))][:-1]
