"""Sentences of tokens with their tags, from rows of CoNLL, JSON Lines or Parquet."""

import json
import re
from typing import Iterable, NamedTuple, Optional, Sequence, Tuple

from albert.common import files
from albert.common.errors import UsageError
from albert.common.tables import LINE, TAGS, TOKENS, Row, as_list, as_text, shown, text_in

# A loose text is cut into words and punctuation, as the files of CoNLL are.
_WORD = re.compile(r"\w+|[^\w\s]")

# What separates columns or, for some program, lines; what UTF-8 does not have; what would pass for
# a JSON string.
_NO_CELL = re.compile('[\t-\r\x1c-\x1e\x85\u2028\u2029\ud800-\udfff]|^".*"$')


class Sentence(NamedTuple):
    """A sentence.

    Attributes:
        where: its file and line, for errors.
        tokens: at least one; none is empty.
        tags: one for each token; None where they are not known.
        text: of which loose text the tokens are; else None.
        starts: where each token starts in it.
    """

    where: str
    tokens: Tuple[str, ...]
    tags: Optional[Tuple[str, ...]] = None
    text: Optional[str] = None
    starts: Tuple[int, ...] = ()


def sentence_of(row: Row) -> Sentence:
    """Returns the sentence in a row; its tags only if it has any.

    Raises:
        UsageError: there are no tokens, an empty one, or another number of tags.
    """
    tokens = _texts_in(row, TOKENS)
    if not tokens:
        raise UsageError(f"{row.where}: the sentence has no tokens.")
    if "" in tokens:
        raise UsageError(f"{where_is(row, tokens.index(''))}: the token is empty.")
    if row.cells.get(TAGS) is None:
        return Sentence(row.where, tokens)
    tags = _texts_in(row, TAGS)
    if len(tags) != len(tokens):
        raise UsageError(f"{row.where}: {len(tokens)} tokens, but {len(tags)} tags.")
    return Sentence(row.where, tokens, tags)


def loose_sentence_of(row: Row) -> Sentence:
    """Returns the sentence in a row that has tokens, or else a text, for albert.predict.

    Raises:
        UsageError: it has neither, or no tokens.
    """
    if TOKENS in row.cells:
        return sentence_of(row)
    text = text_in(row, LINE)
    found = list(_WORD.finditer(text))
    tokens, starts = [word.group() for word in found], [word.start() for word in found]
    return Sentence(row.where, tuple(tokens), None, text, tuple(starts))


def where_is(row: Row, number: int) -> str:
    """Returns the file and line of a token, for errors."""
    if not row.num_lines:
        return f"{row.where}: token {number + 1}"
    path, line = row.where.rsplit(":", 1)
    return f"{path}:{int(line) + number}"


def write_conll(path: str, sentences: Iterable[Iterable[Sequence[str]]]) -> None:
    """Writes sentences, each its columns: tokens first, tags last; an empty line ends each.

    Columns are separated by spaces, or by tabs if a token has a space in it. A token that would
    break the table, with a tab or a line end, is written as a JSON string.
    """
    cells = [[[_as_cell(cell) for cell in column] for column in each] for each in sentences]
    has_spaces = any(" " in cell for columns in cells for column in columns for cell in column)
    separator = "\t" if has_spaces else " "
    blocks = ("".join(separator.join(line) + "\n" for line in zip(*columns)) for columns in cells)
    files.write_text(path, "".join(block + "\n" for block in blocks))


def _as_cell(text: str) -> str:
    return json.dumps(text) if _NO_CELL.search(text) else text


def _texts_in(row, column):
    """Returns the list of texts in a column."""
    if column not in row.cells:
        raise UsageError(f"{row.where}: there is no {column!r} among {shown(row.cells)}.")
    value = row.cells[column]
    values = as_list(value)
    if values is None:
        found = "null" if value is None else f"{value!r:.50}"
        raise UsageError(f"{row.where}: {column!r} must be a list, not {found}.")
    return tuple(as_text(value, row.where, column) for value in values)
