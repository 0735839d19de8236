"""Files of SQuAD 1.1 and 2.0: data[].paragraphs[].{context, qas[].{id, question, answers}}."""

from typing import List, NamedTuple, Tuple

from albert.common.errors import UsageError
from albert.common.json_files import load_json, value_of


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


def read_squad(path):
    """Returns the SquadData of a file.

    Raises:
        UsageError: the file cannot be read, is not JSON, lacks a key, has a value of another type,
            or has two questions of one id.
    """
    articles = value_of(load_json(path), "data", list, path, "the file")
    paragraphs, ids, is_version_2 = [], set(), False
    for number, article in enumerate(articles):
        place = f"data[{number}]"
        for index, paragraph in enumerate(value_of(article, "paragraphs", list, path, place)):
            where = f"{place}.paragraphs[{index}]"
            context = value_of(paragraph, "context", str, path, where)
            rows = value_of(paragraph, "qas", list, path, where)
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
    identifier = value_of(row, "id", str, path, place)
    place = f"question {identifier}"
    answers = [] if "answers" not in row else value_of(row, "answers", list, path, place)
    return SquadQuestion(
        identifier,
        value_of(row, "question", str, path, place),
        tuple(
            (
                value_of(answer, "text", str, path, place),
                value_of(answer, "answer_start", int, path, place),
            )
            for answer in answers
        ),
        bool(row.get("is_impossible", False)),
    )
