"""Reads RACE/{train,dev,test}/{middle,high}/*.txt: one passage with its questions per file."""

import glob
import os
import reprlib
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from albert.common.errors import UsageError
from albert.common.json_files import load_json, value_of

LEVELS = ("middle", "high")
LETTERS = ("A", "B", "C", "D")  # of the options, in the order of their ids

_ARCHIVE = "http://www.cs.cmu.edu/~glai1/data/race/RACE.tar.gz"


class RaceQuestion(NamedTuple):
    """A question on a passage.

    Attributes:
        id: the passage's id and the question's number, from 0.
        level: one of LEVELS.
        question: text; a `_` in it is a gap that the option fills.
        options: four texts.
        label: number of the right option; None if the file has no answers.
    """

    id: str
    level: str
    question: str
    options: Tuple[str, ...]
    label: Optional[int]


class RacePassage(NamedTuple):
    """An article and its questions, in the order of the file."""

    article: str
    questions: List[RaceQuestion]


def read_race(
    data_dir: str, split: str, levels: Sequence[str], needs_answers: bool
) -> List[RacePassage]:
    """Returns the passages of a split by level, then in the order of their files' numbers.

    Args:
        data_dir: folder that holds RACE/.
        split: "train", "dev" or "test".
        levels: which of LEVELS to read.
        needs_answers: whether to refuse files without "answers".

    Raises:
        UsageError: a folder is missing or holds no passages, two passages have the same id, or a
            file cannot be read, is not JSON or has another layout.
    """
    passages = []
    path_of_id: Dict[str, str] = {}
    for level in levels:
        for path in _paths(data_dir, split, level):
            identifier, passage = _read_passage(path, level, needs_answers)
            if identifier in path_of_id:
                found, other = reprlib.repr(identifier), path_of_id[identifier]
                raise UsageError(f"{path} has the id {found}, which {other} has too.")
            path_of_id[identifier] = path
            passages.append(passage)
    return passages


def _paths(data_dir, split, level):
    folder = os.path.join(data_dir, "RACE", split, level)
    if not os.path.isdir(folder):
        raise UsageError(
            f"{folder} is missing: unpack {_ARCHIVE} into <data_dir>.", data_dir=data_dir
        )
    paths = glob.glob(os.path.join(glob.escape(folder), "*.txt"))
    # The original program writes a copy of all passages into the folder, as all.txt.
    paths = [path for path in paths if os.path.basename(path) != "all.txt"]
    if not paths:
        raise UsageError(f"{folder} holds no passages, which are files such as 1.txt.")
    return sorted(paths, key=lambda path: (len(path), path))  # 2.txt before 10.txt


def _read_passage(path, level, needs_answers):
    """Returns the id of a passage and the RacePassage."""
    passage = load_json(path)
    identifier, article = (value_of(passage, key, str, path, "it") for key in ("id", "article"))
    has_answers = needs_answers or passage.get("answers") not in (None, [])
    keys = ("questions", "options", "answers") if has_answers else ("questions", "options")
    columns = {key: value_of(passage, key, list, path, "it") for key in keys}
    counts = {key: len(values) for key, values in columns.items()}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{count} {key}" for key, count in counts.items())
        raise UsageError(f"{path} has {found}; it must have the same number of each.")
    if not counts["questions"]:
        raise UsageError(f"{path} holds no questions.")
    questions = [
        _question(f"{path}: question {number}", f"{identifier}-{number}", level, *row)
        for number, row in enumerate(zip(*columns.values()))
    ]
    return identifier, RacePassage(article, questions)


def _question(where, identifier, level, question, options, *answers):
    if not isinstance(question, str):
        raise UsageError(f"{where} must be a string, not {reprlib.repr(question)}.")
    are_strings = isinstance(options, list) and all(isinstance(option, str) for option in options)
    if not are_strings or len(options) != len(LETTERS):
        found = reprlib.repr(options)
        raise UsageError(f"{where} must have four strings as options, not {found}.")
    for answer in answers:  # none or one
        if answer not in LETTERS:
            found = reprlib.repr(answer)
            raise UsageError(f"{where} has the answer {found}; A, B, C and D are allowed.")
    label = LETTERS.index(answers[0]) if answers else None
    return RaceQuestion(identifier, level, question, tuple(options), label)
