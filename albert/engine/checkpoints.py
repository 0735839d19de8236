"""Finds checkpoints, reads values from them, and keeps an always complete copy of the best one."""

import os
import re
import shutil
from typing import Any, Dict, List, Optional

import tensorflow.compat.v1 as tf

from albert.common import files
from albert.engine.config import checkpoint_prefix as prefix

BEST = "model.ckpt-best"
_INCOMING = ".incoming-best"
_OUTGOING = ".outgoing-best.index"


def exists(path: str) -> bool:
    """Returns whether there is a checkpoint with that prefix."""
    return os.path.exists(path + ".index")


def saved_steps(output_dir: str) -> Dict[int, str]:
    """Returns {step: prefix} of the numbered checkpoints in a folder, in order of step."""
    if not os.path.isdir(output_dir):
        return {}
    matches = (re.match(r"(model\.ckpt-(\d+))\.index$", name) for name in os.listdir(output_dir))
    found = {
        int(match.group(2)): os.path.join(output_dir, match.group(1)) for match in matches if match
    }
    return dict(sorted(found.items()))


def files_of(path: str) -> List[str]:
    """Returns the paths of a checkpoint's files, the index last."""
    folder, name = os.path.split(path)
    names = [file for file in os.listdir(folder) if prefix(file) == name and file != name]
    return [os.path.join(folder, file) for file in sorted(names, key=_index_last)]


def latest(output_dir: str) -> Optional[str]:
    """Returns the prefix of the checkpoint that training resumes from, or None."""
    return tf.train.latest_checkpoint(output_dir)


def best(output_dir: str) -> Optional[str]:
    """Returns the prefix of the best checkpoint, or None if there is none."""
    path = os.path.join(output_dir, BEST)
    return path if exists(path) else None


def read_scalar(path: str, name: str) -> Any:
    """Returns the value of a scalar variable in a checkpoint, as a Python number."""
    return tf.train.load_variable(path, name).item()


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
