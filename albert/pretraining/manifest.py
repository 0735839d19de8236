"""The manifest of a data set for pre-training: what its shards are, and what they were made of.

A data set is named by a prefix P. `P.manifest.json` lists the shards, `P-00000.tf_record` and so
on, which hold tf.train.Examples in one of two layouts:

| layout       | an example is                                                               |
|--------------|-----------------------------------------------------------------------------|
| sequences    | a sequence without padding, to be masked while training                     |
| static_masks | a masked and padded sequence, as google-research/albert's program writes it |
"""

import dataclasses
import logging
import os
import re
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple, Union

from albert.common import files, json_files
from albert.common.errors import UsageError

FORMAT_VERSION = 1
SEQUENCES, STATIC_MASKS = "sequences", "static_masks"
ENDING = ".manifest.json"

_SHARD_ENDING = re.compile(r"-(\d{5,})\.tf_record$")
LOCK_ENDING = ".lock"
_OTHER_ENDINGS = (".model", ".vocab", LOCK_ENDING)
_log = logging.getLogger(__name__)

_COUNTS = ("num_documents", "num_sentences", "num_dropped_sentences", "num_sequences", "num_tokens")


class Shard(NamedTuple):
    """A file of a data set, and what is in it.

    Attributes:
        file: its name, in the folder of the manifest.
        num_tokens: without padding, [CLS] and [SEP] counted.
        crc32: zlib's, of the file.
        source_sha256: of the text that it was made from.
    """

    file: str
    num_documents: int
    num_sentences: int
    num_dropped_sentences: int
    num_sequences: int
    num_tokens: int
    num_bytes: int
    crc32: int
    source_sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What `P.manifest.json` holds; the counts are sums over the shards.

    Attributes:
        path: of the manifest itself.
        tokenizer: FullTokenizer.fingerprint() of the one that made the ids.
        settings: {flag: value} of all else that decides the records.
        vocabulary: what the vocabulary was trained on, and the SHA-256 of the model; None if it was
            given.
        inputs: [{"path", "num_bytes", "sha256"}] of the files of text.
    """

    path: str
    layout: str
    is_complete: bool
    max_seq_length: int
    vocab_size: int
    tokenizer: Dict[str, Any]
    settings: Dict[str, Any]
    vocabulary: Optional[Dict[str, Any]]
    inputs: List[Dict[str, Any]]
    shards: Tuple[Shard, ...]

    def total(self, count: str) -> int:
        """Returns the sum of a count over the shards, such as `num_sequences`."""
        return sum(getattr(shard, count) for shard in self.shards)

    def shard_paths(self) -> List[str]:
        """Returns the paths of the shards, in order."""
        folder = os.path.dirname(self.path)
        return [os.path.join(folder, shard.file) for shard in self.shards]


def path_of(prefix: str) -> str:
    """Returns the path of the manifest of a prefix."""
    return prefix + ENDING


def shard_path(prefix: str, number: int) -> str:
    """Returns the path of a shard of a prefix."""
    return f"{prefix}-{number:05d}.tf_record"


def is_part_of(path: str, prefix: str) -> bool:
    """Returns whether a path is of a data set: a shard, its manifest, vocabulary or lock."""
    return _prefix_of(path) != path and os.path.abspath(_prefix_of(path)) == os.path.abspath(prefix)


def number_of(shard: Shard) -> int:
    """Returns the number of a shard, which is part of its name."""
    found = _SHARD_ENDING.search(shard.file)
    assert found is not None
    return int(found.group(1))


def write(manifest: Manifest) -> None:
    """Writes a manifest to its path, whole or not at all."""
    values = dataclasses.asdict(manifest)
    path = values.pop("path")
    shards = [shard._asdict() for shard in manifest.shards]
    content = {"format_version": FORMAT_VERSION, **values}
    content.update((name, manifest.total(name)) for name in _COUNTS)
    del content["shards"]  # the longest part comes last
    json_files.write_json(path, {**content, "shards": [dict(shard) for shard in shards]})


def read(path: str, needs_all: bool = True) -> Manifest:
    """Returns the manifest in a file.

    Args:
        needs_all: whether it must be complete, and its shards there in the sizes listed.

    Raises:
        UsageError: the file cannot be read, is damaged, is of another program or version, or lacks
            what `needs_all` asks for. The message names the file.
    """
    content = json_files.load_json(path)
    if "format_version" not in content or "shards" not in content:
        raise UsageError(f"{path} is no manifest of create_pretraining_data.")
    if content["format_version"] != FORMAT_VERSION:
        raise UsageError(
            f"{path} has format version {content['format_version']!r}; this program reads "
            f"{FORMAT_VERSION}: run create_pretraining_data again."
        )
    manifest = _parsed(content, path)
    if needs_all:
        _check(manifest)
    return manifest


def read_previous(prefix: str) -> Optional[Manifest]:
    """Returns the manifest that an earlier run has left, or None; warns if it cannot be read.

    Raises:
        UsageError: its path is a folder, so that none can be written.
    """
    path = path_of(prefix)
    if os.path.isdir(path):
        raise UsageError(f"{path} is a folder; it is to be the manifest of what is made.")
    if not os.path.exists(path):
        return None
    try:
        return read(path, needs_all=False)
    except UsageError as error:
        _log.warning("%s Everything is made anew.", error)
        return None


def _parsed(content: Dict[str, Any], path: str) -> Manifest:
    def value(name: str, expected: type) -> Any:
        return json_files.value_of(content, name, expected, path, "the manifest")

    rows = value("shards", list)
    is_trained = content.get("vocabulary") is not None
    manifest = Manifest(
        path=path,
        layout=value("layout", str),
        is_complete=value("is_complete", bool),
        max_seq_length=value("max_seq_length", int),
        vocab_size=value("vocab_size", int),
        tokenizer=value("tokenizer", dict),
        settings=value("settings", dict),
        vocabulary=value("vocabulary", dict) if is_trained else None,
        inputs=value("inputs", list),
        shards=tuple(_shard(row, number, path) for number, row in enumerate(rows)),
    )
    if manifest.layout not in (SEQUENCES, STATIC_MASKS):
        raise UsageError(f"{path}: {manifest.layout!r} is no layout that this program reads.")
    return manifest


def _shard(row: Any, number: int, path: str) -> Shard:
    types = Shard.__annotations__
    values = {
        name: json_files.value_of(row, name, types[name], path, f"shard {number}")
        for name in Shard._fields
    }
    shard = Shard(**values)
    is_name = os.path.basename(shard.file) == shard.file and _SHARD_ENDING.search(shard.file)
    if not is_name or min(value for value in values.values() if isinstance(value, int)) < 0:
        raise UsageError(f"{path} is damaged: shard {number} cannot be as it says.")
    return shard


def _check(manifest: Manifest) -> None:
    if not manifest.is_complete:
        raise UsageError(
            f"{manifest.path} is not complete: run create_pretraining_data again; the same command "
            "resumes."
        )
    for shard, path in zip(manifest.shards, manifest.shard_paths()):
        try:
            num_bytes = os.path.getsize(path)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}; {manifest.path} lists it.") from error
        if num_bytes != shard.num_bytes:
            raise UsageError(
                f"{path} has {num_bytes} bytes, but {manifest.path} says {shard.num_bytes}: run "
                "create_pretraining_data again."
            )


def find(patterns: str, setting: str) -> List[Union[Manifest, str]]:
    """Returns the data sets that patterns match: Manifests, and paths of files that have none.

    A manifest stands for the shards that it lists. They may be matched, too, as may the vocabulary
    beside them; all shards of a data set stand for their manifest, if that is not matched.

    Args:
        patterns: paths, separated by commas, with `*` and the like.
        setting: the one that names them, for errors.

    Raises:
        UsageError: a pattern matches nothing, a manifest cannot be read (see `read`), or only some
            of the shards of a data set are matched.
    """
    paths = [os.path.normpath(path) for path in files.matching(patterns, setting)]
    matched = set(paths)
    manifests = _manifests_of(paths)
    found: Dict[str, Union[Manifest, str]] = {}
    for path in paths:
        owner = manifests.get(_prefix_of(path))
        if owner is None or (_SHARD_ENDING.search(path) and path not in owner.shard_paths()):
            found[path] = path
            continue
        found[owner.path] = owner
        if owner.path not in matched and not matched.issuperset(owner.shard_paths()):
            raise UsageError(
                f"<{setting}>: {path} is only a part of what {owner.path} lists: give the path of "
                "that.",
                **{setting: patterns},
            )
    return list(found.values())


def _manifests_of(paths: Iterable[str]) -> Dict[str, Manifest]:
    """Returns {prefix: Manifest} of the manifests that are among the paths, or beside shards."""
    manifests: Dict[str, Manifest] = {}
    for path in paths:
        prefix = _prefix_of(path)
        is_beside = _SHARD_ENDING.search(path) and os.path.exists(path_of(prefix))
        if prefix not in manifests and (path.endswith(ENDING) or is_beside):
            manifests[prefix] = read(path_of(prefix))
    return manifests


def _prefix_of(path: str) -> str:
    """Returns the prefix of the data set that a path may belong to."""
    for ending in (ENDING, *_OTHER_ENDINGS):
        if path.endswith(ending):
            return path[: -len(ending)]
    return _SHARD_ENDING.sub("", path)
