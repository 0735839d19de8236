"""Finds checkpoints, tells whether they are whole, and keeps an always complete copy of the best.

What is in a folder decides, not TensorFlow's own file `checkpoint`: that may be missing or cut
short, and it holds the paths of a folder that has been moved or copied since.
"""

import contextlib
import logging
import math
import os
import re
import shutil
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import tensorflow.compat.v1 as tf

from albert.common import files
from albert.common.errors import UsageError
from albert.engine.config import FinetuneConfig
from albert.engine.config import checkpoint_prefix as prefix

if TYPE_CHECKING:
    from albert.modeling import AlbertConfig

BEST = "model.ckpt-best"
STATE = "checkpoint"  # TensorFlow's own file, by which Estimator finds what to resume from
_DAMAGED = "damaged-"  # begins the names of checkpoints that were set aside
_INCOMING = ".incoming-best"
_OUTGOING = ".outgoing-best.index"
# What TensorFlow writes before it renames it to a checkpoint's file, to `checkpoint` and so on.
_UNFINISHED = re.compile(
    r"model\.ckpt-\d+_temp(_[0-9a-f]+)?$"
    r"|model\.ckpt-\d+\..*\.tempstate\d+$"
    r"|(checkpoint|graph\.pbtxt|model\.ckpt-\d+\.meta)\.tmp[0-9a-f]{32}$"
)
_UNREADABLE = (tf.errors.OpError, ValueError, IndexError)  # IndexError: cut short, on 2.15
_UNREADABLE_INDEX = (*_UNREADABLE, MemoryError)  # where a length in it is an absurd one
_BYTES_PER_PARAMETER = 3 * 4  # float32: the weight and the two moments that both optimizers keep
_GB = 1e9

_log = logging.getLogger(__name__)


def exists(path: str) -> bool:
    """Returns whether there is a checkpoint with that prefix."""
    return os.path.exists(path + ".index")


def saved_steps(output_dir: str) -> Dict[int, str]:
    """Returns {step: prefix} of the numbered checkpoints in a folder, in order of step."""
    return _steps(output_dir, r"\.index")


def _steps(output_dir, ending):
    """Returns {step: prefix} of the numbered checkpoints that have a file with that ending."""
    if not os.path.isdir(output_dir):
        return {}
    pattern = re.compile(rf"(model\.ckpt-(\d+)){ending}$")
    matches = (pattern.match(name) for name in os.listdir(output_dir))
    found = {
        int(match.group(2)): os.path.join(output_dir, match.group(1)) for match in matches if match
    }
    return dict(sorted(found.items()))


def _newest_first(output_dir):
    """Returns the prefixes of the numbered checkpoints, those without an index included.

    Where there are none, as in the folder of another program, the one that `checkpoint` names.
    """
    numbered = _steps(output_dir, r"\.(?:index|data-.*)")
    if numbered:
        return list(numbered.values())[::-1]
    named = None
    with contextlib.suppress(ValueError):  # the file is cut short
        named = tf.train.latest_checkpoint(output_dir)
    path = os.path.join(output_dir, os.path.basename(named or ""))
    return [path] if exists(path) else []


def files_of(path: str) -> List[str]:
    """Returns the paths of a checkpoint's files, the index last."""
    folder, name = os.path.split(path)
    names = [file for file in os.listdir(folder) if prefix(file) == name and file != name]
    return [os.path.join(folder, file) for file in sorted(names, key=_index_last)]


def latest(output_dir: str) -> Optional[str]:
    """Returns the prefix of the checkpoint of the highest step, damaged or not, or None."""
    return next(iter(_newest_first(output_dir)), None)


def best(output_dir: str) -> Optional[str]:
    """Returns the prefix of the best checkpoint, or None if there is none."""
    path = os.path.join(output_dir, BEST)
    return path if exists(path) else None


def read_scalar(path: str, name: str) -> Any:
    """Returns the value of a scalar variable in a checkpoint, as a Python number.

    Raises:
        UsageError: the checkpoint is damaged.
        NotFoundError: it has no such variable.
    """
    with _explaining_damage(path):
        return tf.train.load_variable(path, name).item()


def has_variable(path: str, name: str) -> bool:
    """Returns whether a checkpoint holds a variable of that name.

    Raises:
        UsageError: the checkpoint is damaged.
    """
    with _explaining_damage(path):
        return any(name == stored for stored, _ in tf.train.list_variables(path))


@contextlib.contextmanager
def _explaining_damage(path):
    """Turns the error of a block that reads a checkpoint into one line if that is damaged."""
    try:
        yield
    except _UNREADABLE_INDEX:
        check(path)
        raise


def read_step(path: str) -> int:
    """Returns the number of updates behind a checkpoint; 0 if it does not say.

    Raises:
        UsageError: the checkpoint is damaged.
    """
    return read_scalar(path, "global_step") if has_variable(path, "global_step") else 0


def content_hash(path: str) -> str:
    """Returns a hash that is equal for copies of a checkpoint.

    The index is enough: it holds name, shape and checksum of every variable.
    """
    return files.sha256(path + ".index")[:16]


# Damaged checkpoints


def find_damage(path: str) -> Optional[str]:
    """Returns what is wrong with a checkpoint, in one line, or None if it is whole.

    Every value is read, because TensorFlow compares checksums only then. The checkpoint of a base
    model, 0.14 GB, takes 0.04 s on TensorFlow 2.15 and 0.2 s on 1.15.
    """
    name = os.path.basename(path)
    if not exists(path):
        return f"{name}.index is missing"
    try:
        reader = tf.train.load_checkpoint(path)
        names = list(reader.get_variable_to_shape_map())
    except _UNREADABLE_INDEX as error:
        return f"{name}.index: {_first_line(error)}"
    try:
        for variable in names:
            reader.get_tensor(variable)
    except _UNREADABLE as error:
        return f"{name}.data-*: {_first_line(error)}"
    return None


def _first_line(error):
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def check(path: str) -> None:
    """Raises UsageError, which names the newest whole checkpoint, if a checkpoint is damaged."""
    damage = find_damage(path)
    if not damage:
        return
    others = [other for other in _newest_first(os.path.dirname(path)) if other != path]
    whole = next((other for other in others if not find_damage(other)), None)
    if not whole:
        raise UsageError(f"{path} is damaged ({damage}), and no other checkpoint there is whole.")
    raise UsageError(
        f"{path} is damaged ({damage}). The newest whole checkpoint there is "
        f"{os.path.basename(whole)}: move {os.path.basename(path)}.* away to go on with that."
    )


def newest_whole(output_dir: str) -> Tuple[Optional[str], Dict[str, str]]:
    """Returns the newest whole checkpoint, or None, and {prefix: damage} of the newer ones.

    Raises:
        UsageError: something has been trained, but no checkpoint is whole.
    """
    damages: Dict[str, str] = {}
    for path in _newest_first(output_dir):
        damage = find_damage(path)
        if not damage:
            return path, damages
        damages[path] = damage
    for path, damage in damages.items():
        if not path.endswith("-0"):  # a checkpoint of step 0 is no loss
            raise UsageError(
                f"<output_dir> holds no checkpoint that is whole, so training cannot resume: "
                f"{damage}. Use another folder to start over.",
                output_dir=output_dir,
            )
    return None, damages


def prepare_training(output_dir: str, start: Optional[str], damages: Dict[str, str]) -> None:
    """Makes Estimator resume from a checkpoint, or start anew for None.

    - Damaged checkpoints are set aside as damaged-model.ckpt-*; a warning names each.
    - What a killed process or a full disk has left behind of unfinished files is removed.
    - TensorFlow's file `checkpoint` is written anew. It also makes Estimator remove old checkpoints
      in their turn.

    To be called while no other process writes checkpoints there.

    Args:
        damages: {prefix: damage} of the checkpoints newer than `start`.
    """
    for path, damage in damages.items():
        for file in files_of(path):
            os.replace(file, os.path.join(output_dir, _DAMAGED + os.path.basename(file)))
        _log.warning(
            "%s is damaged (%s): set aside as %s%s; training goes on from %s.",
            path,
            damage,
            _DAMAGED,
            os.path.basename(path),
            os.path.basename(start) if start else "the beginning",
        )
    _remove_unfinished(output_dir)
    _write_state(output_dir, start)


def _remove_unfinished(output_dir):
    for name in filter(_UNFINISHED.match, os.listdir(output_dir)):
        path = os.path.join(output_dir, name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.remove(path)


def _write_state(output_dir, start):
    """Writes TensorFlow's file `checkpoint`, which names the newest checkpoint, then all of them.

    The names are without folder, so the file stays true if the folder is moved.
    """
    path = os.path.join(output_dir, STATE)
    if start:
        names = [os.path.basename(prefix) for prefix in saved_steps(output_dir).values()]
        lines = [f'model_checkpoint_path: "{os.path.basename(start)}"']
        lines += [f'all_model_checkpoint_paths: "{name}"' for name in names]
        files.write_text(path, "\n".join(lines) + "\n")
    else:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


# The best checkpoint


def keep_as_best(path: str) -> str:
    """Copies a checkpoint as the best one of its folder, and returns the copy's prefix.

    All files are first copied under temporary names, then renamed one by one. If the process is
    killed, `finish_keeping` repairs the folder:

    | killed while          | files left behind                             | `finish_keeping`   |
    |-----------------------|-----------------------------------------------|--------------------|
    | copying               | the old best, and copies without their index  | removes the copies |
    | removing the old best | complete copies, parts of the old best        | completes the swap |
    | renaming the copies   | complete files, some already renamed          | completes the swap |
    """
    output_dir = os.path.dirname(path)
    finish_keeping(output_dir)
    # The index comes last: once it has been copied, the copies are complete.
    for file in files_of(path):
        with files.replacing(os.path.join(output_dir, _INCOMING + file[len(path) :])) as copy:
            shutil.copyfile(file, copy)
    finish_keeping(output_dir)
    return os.path.join(output_dir, BEST)


def is_keeping(output_dir: str) -> bool:
    """Returns whether a `keep_as_best` is at work, or was interrupted."""
    return any(name.startswith((_INCOMING, _OUTGOING)) for name in os.listdir(output_dir))


def finish_keeping(output_dir: str) -> None:
    """Completes a `keep_as_best` that was interrupted, or removes its incomplete copies."""
    if not os.path.isdir(output_dir):
        return
    incoming = [file for file in os.listdir(output_dir) if file.startswith(_INCOMING)]
    # Files that were still being copied when the process died are useless.
    for file in [file for file in incoming if file.endswith(".part")]:
        incoming.remove(file)
        os.remove(os.path.join(output_dir, file))
    if _INCOMING + ".index" not in incoming:
        for file in incoming:
            os.remove(os.path.join(output_dir, file))
        return
    _remove_best(output_dir)
    for file in sorted(incoming, key=_index_last):
        target = os.path.join(output_dir, BEST + file[len(_INCOMING) :])
        os.replace(os.path.join(output_dir, file), target)


def _remove_best(output_dir):
    """Removes the old best checkpoint, or completes an interrupted removal.

    The files of the old and the new best checkpoint have the same names. So the old index is
    renamed first: while it exists under that name, the other files are still the old ones.
    """
    best_path = os.path.join(output_dir, BEST)
    outgoing = os.path.join(output_dir, _OUTGOING)
    if exists(best_path):
        os.replace(best_path + ".index", outgoing)
    if os.path.exists(outgoing):
        for file in files_of(best_path):
            os.remove(file)
        os.remove(outgoing)


def _index_last(file):
    return file.endswith(".index"), file


# The disk space of a run


def num_parameters(config: "AlbertConfig") -> int:
    """Returns the number of weights of the encoder; a head adds next to nothing."""
    width, hidden, inner = config.embedding_size, config.hidden_size, config.intermediate_size
    tables = config.vocab_size + config.max_position_embeddings + config.type_vocab_size
    embeddings = tables * width + 2 * width  # and a layer norm
    projection = (width + 1) * hidden if width != hidden else 0
    attention = 4 * (hidden + 1) * hidden
    feed_forward = (hidden + 1) * inner + (inner + 1) * hidden
    layer = attention + feed_forward + 4 * hidden  # and two layer norms
    pooler = (hidden + 1) * hidden
    num_layers = config.num_hidden_groups * config.inner_group_num
    return embeddings + projection + num_layers * layer + pooler


def checkpoint_bytes(config: FinetuneConfig) -> int:
    """Returns the size of all checkpoints that a run keeps at once.

    Those are the best one and keep_checkpoint_max numbered ones; one more is written before the
    oldest is deleted. A short run saves fewer: one at the start, and one for every interval begun.
    """
    num_saved = 1 + math.ceil(config.train_steps / config.save_checkpoints_steps)
    num_numbered = min(num_saved, config.keep_checkpoint_max + 1)
    return (num_numbered + 1) * _BYTES_PER_PARAMETER * num_parameters(config.albert_config)


def warn_if_disk_is_short(config: FinetuneConfig) -> None:
    """Logs a warning if the disk of output_dir, which exists, has no room for all checkpoints."""
    names = [name for name in os.listdir(config.output_dir) if name.startswith("model.ckpt-")]
    present = sum(os.path.getsize(os.path.join(config.output_dir, name)) for name in names)
    missing = checkpoint_bytes(config) - present  # of a run that goes on, some are there
    free = shutil.disk_usage(config.output_dir).free
    if free < missing:
        _log.warning(
            "The checkpoints of this run need %.1f GB, but only %.1f GB are free on the disk of %s:"
            " free some space, or keep fewer.",
            missing / _GB,
            free / _GB,
            config.output_dir,
        )
