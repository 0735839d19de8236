"""Files of SQuAD 1.1 and 2.0: data[].paragraphs[].{context, qas[].{id, question, answers}}."""

import json
from typing import List, NamedTuple, Tuple

from albert.errors import UsageError


class SquadQuestion(NamedTuple):
    """A question on a paragraph.

    Attributes:
        id: str.
        question: str.
        answers: tuple of (text, place of its first character in the context); empty for an
            impossible question and where the file has no answers.
        is_impossible: bool, False in SQuAD 1.1.
    """

    id: str
    question: str
    answers: Tuple[Tuple[str, int], ...]
    is_impossible: bool


class SquadParagraph(NamedTuple):
    """A context and its questions, in the order of the file."""

    context: str
    questions: List[SquadQuestion]


class SquadData(NamedTuple):
    """A file; `is_version_2` says whether any of its questions can be marked as impossible."""

    paragraphs: List[SquadParagraph]
    is_version_2: bool

    def questions(self):
        """Yields all questions in the order of the file."""
        for paragraph in self.paragraphs:
            yield from paragraph.questions


def load_json(path):
    """Returns what a JSON file holds; raises UsageError where it cannot be read or is not JSON."""
    try:
        with open(path, encoding="utf-8") as reader:
            return json.load(reader)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}.") from error


def read_squad(path):
    """Returns the SquadData of a file.

    Raises:
        UsageError: the file cannot be read, is not JSON, lacks a key, has a value of another type,
            or has two questions of one id.
    """
    articles = _value(load_json(path), "data", list, path, "the file")
    paragraphs, ids, is_version_2 = [], set(), False
    for number, article in enumerate(articles):
        place = f"data[{number}]"
        for index, paragraph in enumerate(_value(article, "paragraphs", list, path, place)):
            where = f"{place}.paragraphs[{index}]"
            context = _value(paragraph, "context", str, path, where)
            rows = _value(paragraph, "qas", list, path, where)
            questions = [
                _question(row, path, f"{where}.qas[{order}]") for order, row in enumerate(rows)
            ]
            for question in questions:
                if question.id in ids:
                    raise UsageError(f"{path}: two questions have the id {question.id}.")
                ids.add(question.id)
            is_version_2 = is_version_2 or any("is_impossible" in row for row in rows)
            paragraphs.append(SquadParagraph(context, questions))
    if not ids:
        raise UsageError(f"{path} holds no questions.")
    return SquadData(paragraphs, is_version_2)


def _question(row, path, place):
    identifier = _value(row, "id", str, path, place)
    place = f"question {identifier}"
    answers = [] if "answers" not in row else _value(row, "answers", list, path, place)
    return SquadQuestion(
        identifier,
        _value(row, "question", str, path, place),
        tuple(
            (
                _value(answer, "text", str, path, place),
                _value(answer, "answer_start", int, path, place),
            )
            for answer in answers
        ),
        bool(row.get("is_impossible", False)),
    )


def _value(mapping, key, expected, path, place):
    """Returns mapping[key], checked."""
    if not isinstance(mapping, dict) or key not in mapping:
        raise UsageError(f"{path}: {place} has no {key!r}.")
    value = mapping[key]
    if not isinstance(value, expected):
        raise UsageError(
            f"{path}: {key!r} of {place} must be of type {expected.__name__}, "
            f"not {type(value).__name__}."
        )
    return value
