"""Files of SQuAD 1.1 and 2.0: data[].paragraphs[].{context, qas[].{id, question, answers}}."""

import sys
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from albert.common.errors import UsageError
from albert.common.json_files import load_json, value_of

_LONGEST_SHOWN = 60  # characters of an id


class SquadQuestion(NamedTuple):
    """A question on a paragraph.

    Attributes:
        answers: each a text and the index in the context of its first character; empty for an
            impossible question and in a file without answers.
        is_impossible: whether the question is marked as having no answer; never in SQuAD 1.1.
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
    """A file; it is of version 2.0 if one of its questions has the key "is_impossible"."""

    paragraphs: List[SquadParagraph]
    is_version_2: bool

    @property
    def has_answers(self) -> bool:
        """Whether predictions for the file can be scored."""
        return any(question.answers for question in self.questions())

    def questions(self) -> Iterator[SquadQuestion]:
        """Yields all questions in the order of the file."""
        for paragraph in self.paragraphs:
            yield from paragraph.questions


def first_questions(passages: Iterable[Any], limit: Optional[int]) -> List[Any]:
    """Returns passages, each a NamedTuple with a list `questions`, up to that many questions.

    Args:
        limit: None for all.
    """
    found: List[Any] = []
    num_left = sys.maxsize if limit is None else limit
    for passage in passages:
        questions = passage.questions[:num_left]
        if questions:
            found.append(passage._replace(questions=questions))
        num_left -= len(questions)
    return found


def read_squad(path: str, setting: Optional[str] = None) -> SquadData:
    """Returns the contents of a file.

    Args:
        setting: the setting that chose the file, for errors to name it together with the path.

    Raises:
        UsageError: the file cannot be read, is not JSON, lacks a key, has a value of the wrong
            type, or has two questions with the same id.
    """
    articles = value_of(load_json(path, setting), "data", list, path, "the file")
    paragraphs, ids, is_version_2 = [], set(), False
    for number, article in enumerate(articles):
        location = f"data[{number}]"
        for index, paragraph in enumerate(value_of(article, "paragraphs", list, path, location)):
            where = f"{location}.paragraphs[{index}]"
            context = value_of(paragraph, "context", str, path, where)
            rows = value_of(paragraph, "qas", list, path, where)
            questions = [
                _question(row, path, f"{where}.qas[{order}]") for order, row in enumerate(rows)
            ]
            for question in questions:
                if question.id in ids:
                    raise UsageError(f"{path}: two questions have the id {shown(question.id)}.")
                ids.add(question.id)
            is_version_2 = is_version_2 or any("is_impossible" in row for row in rows)
            paragraphs.append(SquadParagraph(context, questions))
    if not ids:
        raise UsageError(f"{path} holds no questions.")
    return SquadData(paragraphs, is_version_2)


def shown(identifier: str) -> str:
    """Returns an id as it can stand in a line of text: escaped where it could break it, and cut."""
    text = identifier if identifier.isprintable() else ascii(identifier)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def _question(row: Dict[str, Any], path: str, where: str) -> SquadQuestion:
    identifier = value_of(row, "id", str, path, where)
    where = f"question {shown(identifier)}"
    answers = [] if "answers" not in row else value_of(row, "answers", list, path, where)
    return SquadQuestion(
        identifier,
        value_of(row, "question", str, path, where),
        tuple(
            (
                value_of(answer, "text", str, path, where),
                value_of(answer, "answer_start", int, path, where),
            )
            for answer in answers
        ),
        "is_impossible" in row and value_of(row, "is_impossible", bool, path, where),
    )
