"""Makes a data set for pre-training from text: shard by shard, in processes, and resumes."""

import contextlib
import dataclasses
import functools
import glob
import logging
import os
import re
from concurrent.futures import process
from typing import Any, Dict, Iterator, List, Match, NamedTuple, Optional, Pattern, Sequence, Tuple

from albert.common import parallel
from albert.common.errors import UsageError
from albert.pretraining import manifest, shards
from albert.pretraining.documents import Corpus, InputFile
from albert.pretraining.manifest import Manifest

# What follows the prefix in names of files.
_SHARD = re.compile(r"-(\d{5,})\.tf_record")
_TEMPORARY = re.compile(r"(-\d{5,}\.tf_record|\.(model|vocab|manifest\.json))\.[0-9a-f]{32}\.part")

_log = logging.getLogger(__name__)


class DataSet(NamedTuple):
    """What to make, and of what.

    Attributes:
        prefix: what the paths of all its files begin with.
        paths: of the files of text.
        recipe: what to make of a shard.
        shard_size: characters of the text of a shard.
        vocabulary: as in Manifest.
    """

    prefix: str
    paths: Sequence[str]
    recipe: shards.Recipe
    shard_size: int
    vocabulary: Optional[Dict[str, Any]]


def create(data_set: DataSet, num_processes: int) -> Manifest:
    """Makes the data set and returns its manifest.

    What an earlier call has made with the same settings, of the same text, stays. All else that has
    the names of shards of this prefix is replaced or deleted.

    Raises:
        UsageError: the text cannot be read, or is too little for one sequence.
    """
    corpus = Corpus(data_set.paths)
    record = _Record(data_set, manifest.read_previous(data_set.prefix))
    results = parallel.ordered_stream(
        functools.partial(shards.make, data_set.recipe),
        _sources(data_set, corpus, dict(record.listed)),
        num_processes,
    )
    try:
        with contextlib.closing(results), _explaining_lost_processes(
            num_processes
        ):  # its processes end before what they have left is deleted
            for made in results:
                record.add(made, corpus.files)
    finally:
        _delete_temporary(data_set.prefix)
    if record.num_kept:
        _log.info("%d of %d shards were there already.", record.num_kept, record.num_done)
    return record.finish(corpus.files)


@contextlib.contextmanager
def _explaining_lost_processes(num_processes: int) -> Iterator[None]:
    try:
        yield
    except process.BrokenProcessPool as error:
        raise UsageError(
            "<num_processes>: one of them was ended from outside, as where memory is short. Fewer "
            "ones need less, as does a smaller <shard_size>; the same command resumes.",
            num_processes=num_processes,
            shard_size=None,
        ) from error


def _sources(
    data_set: DataSet, corpus: Corpus, listed: Dict[int, manifest.Shard]
) -> Iterator[shards.Source]:
    for number, text in enumerate(corpus.shards(data_set.shard_size)):
        path = manifest.shard_path(data_set.prefix, number)
        yield shards.Source(number, text, path, listed.get(number))


class _Record:
    """The manifest on the disk, which never lists what is not there.

    Attributes:
        listed: {number: Shard} of the shards that the manifest lists.
    """

    def __init__(self, data_set: DataSet, previous: Optional[Manifest]) -> None:
        self._prefix = data_set.prefix
        self._empty = _empty_manifest(data_set)
        self._on_disk: Optional[Manifest] = None
        self.num_done = self.num_kept = 0
        self.listed: Dict[int, manifest.Shard] = {}
        if previous and _facts(previous) == _facts(self._empty):
            self._on_disk = previous
            self.listed = {manifest.number_of(shard): shard for shard in previous.shards}

    def add(self, made: shards.Made, inputs: Sequence[InputFile]) -> None:
        """Takes the next shard: moves its file into place, and lists it."""
        number = self.num_done
        self.num_done += 1
        if made.temporary is None:
            self.num_kept += 1
            return
        if self._on_disk is None or self._on_disk.is_complete or number in self.listed:
            # Before a file changes, nothing may say that it is as it was.
            self.listed.pop(number, None)
            self._write(False, inputs)
        path = manifest.shard_path(self._prefix, number)
        os.replace(made.temporary, path)
        self.listed[number] = made.shard
        self._write(False, inputs)
        _log.info("%s: %d sequences.", path, made.shard.num_sequences)

    def finish(self, inputs: Sequence[InputFile]) -> Manifest:
        """Returns the manifest, which now lists all that was made and says so.

        Raises:
            UsageError: there is no sequence in it; then nothing stays.
        """
        made = [self.listed[number] for number in range(self.num_done)]
        if not sum(shard.num_sequences for shard in made):
            _delete_shards(self._prefix, 0)
            if self._on_disk is not None:
                os.remove(self._on_disk.path)
            reason = "all that it holds is a sentence of one word" if made else "it holds no text"
            raise UsageError(f"<input_file>: no sequence can be made: {reason}.", input_file=None)
        _delete_shards(self._prefix, self.num_done)
        self.listed = dict(enumerate(made))
        return self._write(True, inputs)

    def _write(self, is_complete: bool, inputs: Sequence[InputFile]) -> Manifest:
        """Writes the manifest unless it is on the disk already."""
        current = dataclasses.replace(
            self._empty,
            is_complete=is_complete,
            inputs=[file._asdict() for file in inputs],
            shards=tuple(self.listed[number] for number in sorted(self.listed)),
        )
        if current != self._on_disk:
            manifest.write(current)
            self._on_disk = current
        return current


def _empty_manifest(data_set: DataSet) -> Manifest:
    tokenizer, pairs, static = data_set.recipe
    settings = dict(pairs._asdict(), shard_size=data_set.shard_size)
    if static:
        settings.update(static.masks._asdict(), dupe_factor=static.dupe_factor)
    return Manifest(
        path=manifest.path_of(data_set.prefix),
        layout=manifest.STATIC_MASKS if static else manifest.SEQUENCES,
        is_complete=False,
        max_seq_length=pairs.max_seq_length,
        vocab_size=tokenizer.vocab_size,
        tokenizer=tokenizer.fingerprint(),
        settings=settings,
        vocabulary=data_set.vocabulary,
        inputs=[],
        shards=(),
    )


def _facts(found: Manifest) -> Any:
    """Returns what two manifests have in common whose shards are made alike."""
    return found.layout, found.vocab_size, found.tokenizer, found.settings


def _delete_shards(prefix: str, first: int) -> None:
    """Deletes the shards of a prefix from a number on."""
    for path, found in _matches(prefix, _SHARD):
        if int(found.group(1)) >= first:
            os.remove(path)


def _delete_temporary(prefix: str) -> None:
    """Deletes what is left where a run has ended early, this one or one that was killed."""
    for path, _ in _matches(prefix, _TEMPORARY):
        os.remove(path)


def _matches(prefix: str, pattern: Pattern[str]) -> List[Tuple[str, Match[str]]]:
    """Returns the paths that begin with a prefix, and go on as a pattern says."""
    paths = glob.glob(f"{glob.escape(prefix)}[-.]*")
    found = [(path, pattern.fullmatch(path[len(prefix) :])) for path in paths]
    return [(path, match) for path, match in found if match]
