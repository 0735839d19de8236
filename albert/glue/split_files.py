"""The user's own files, one for each split; a part of the training file can stand in for dev."""

import logging
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from albert.common.errors import UsageError
from albert.common.tables import Row, format_of, read_table
from albert.glue.columns import held_out

_log = logging.getLogger(__name__)


class SplitSettings(NamedTuple):
    """Where the data are; each field is named as its flag.

    Attributes:
        validation_split: share of the training file that is held out for evaluation where there is
            no validation file.
    """

    train_file: Optional[str] = None
    validation_file: Optional[str] = None
    test_file: Optional[str] = None
    validation_split: float = 0.1
    seed: int = 42
    do_eval: bool = True


_NO_FILES = SplitSettings()


class SplitFiles:
    """The rows of each split of the user's files.

    Args:
        text_format: one of tables.FORMATS, for files that are neither JSON Lines nor Parquet; None
            goes by their endings.

    Attributes:
        held_out: which rows of the training file are the dev split, set by `hold_out`.
    """

    def __init__(
        self, settings: SplitSettings = _NO_FILES, text_format: Optional[str] = None
    ) -> None:
        self._settings = settings
        self._text_format = text_format
        self._rows: Dict[str, List[Row]] = {}
        self.held_out: List[int] = []

    @property
    def are_for_training(self) -> bool:
        """Whether there is a training file."""
        return bool(self._settings.train_file)

    def hold_out(self, keys: Sequence[Any]) -> None:
        """Holds out a part of the training file, if evaluations need it.

        Args:
            keys: one for each row; of every key alike that share of rows is held out.
        """
        settings = self._settings
        if not settings.do_eval or settings.validation_file or not settings.validation_split:
            return
        random = np.random.RandomState(settings.seed)
        self.held_out = held_out(keys, settings.validation_split, random)
        if self.held_out:
            _log.info(
                "No validation file: %d of the %d rows are held out for evaluation.",
                len(self.held_out),
                len(keys),
            )

    def path(self, split: str) -> str:
        """Returns the file that holds a split, "train", "dev" or "test".

        Raises:
            UsageError: there is none.
        """
        settings = self._settings
        if split == "dev" and not settings.validation_file:
            if not settings.train_file:
                raise UsageError(
                    "<validation_file> is required by <do_eval>, or <train_file> to hold out a "
                    "part of.",
                    validation_file=None,
                    do_eval=None,
                    train_file=None,
                )
            if not self.held_out:
                raise UsageError(
                    "<validation_split> holds out no rows to evaluate; give <validation_file>.",
                    validation_split=settings.validation_split,
                    validation_file=None,
                )
            return settings.train_file
        name = {"train": "train_file", "dev": "validation_file", "test": "test_file"}[split]
        path = getattr(settings, name)
        if not path:
            raise UsageError(f"<{name}> is required.", **{name: None})
        return path

    def file_rows(self, split: str) -> List[Row]:
        """Returns all rows of the file that holds a split, at least one.

        Raises:
            UsageError: the file cannot be read or is empty.
        """
        path = self.path(split)
        if path not in self._rows:
            setting = next(
                name for name, value in self._settings._asdict().items() if value == path
            )
            known = format_of(path)
            if self._text_format and known not in ("jsonl", "parquet"):
                known = self._text_format
            self._rows[path] = list(read_table(path, setting, known))
            if not self._rows[path]:
                raise UsageError(f"<{setting}> holds no rows.", **{setting: path})
        return self._rows[path]

    def rows(self, split: str) -> List[Tuple[int, Row]]:
        """Returns the rows of a split, each with its number in the file, from 0."""
        rows = list(enumerate(self.file_rows(split)))
        if not self.held_out or split == "test":
            return rows
        is_held_out = set(self.held_out)
        return [row for row in rows if (row[0] in is_held_out) == (split == "dev")]
