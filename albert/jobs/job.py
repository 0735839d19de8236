"""A run among many: what to start, what it waits for, and what it has left in its folder."""

import os
import re
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

from albert.engine.results import Recorded

_CHECKPOINT = re.compile(r"model\.ckpt-(\d+)\.index")


class Job(NamedTuple):
    """A run among many.

    Attributes:
        name: for people, such as "RTE, seed 1"; each job of a plan has another one.
        output_dir: folder of the run's files.
        command: returns the program and its arguments; called when the job's turn has come.
        has_finished: returns whether the run has ended well.
        kind: what runs that take equally long have in common.
        waits_for: names of the jobs that it starts from.
        marker: file to create when the command has ended well; "" for none.
    """

    name: str
    output_dir: str
    command: Callable[[], List[str]]
    has_finished: Callable[[], bool]
    kind: Any
    waits_for: Tuple[str, ...] = ()
    marker: str = ""


def training_seconds(record: Recorded, steps_done: int) -> Optional[float]:
    """Returns how long the steps that are left take at the speed recorded; None without one."""
    steps, speed, batch = (
        record.settings.get(name)
        for name in ("train_steps", "examples_per_second", "global_batch_size")
    )
    if not steps or not speed or not batch:
        return None
    return max(steps - steps_done, 0) * batch / speed


def last_step(output_dir: str) -> int:
    """Returns the step of the last checkpoint in a folder; 0 if there is none."""
    names = os.listdir(output_dir) if os.path.isdir(output_dir) else []
    found = filter(None, map(_CHECKPOINT.fullmatch, names))
    return max((int(match.group(1)) for match in found), default=0)


def last_value(arguments: Sequence[str], name: str) -> Optional[str]:
    """Returns the last value of a flag in the arguments of a run; None if it is not given."""
    text = "\n".join(arguments)
    found = re.findall(rf"(?m)^--?{re.escape(name)}[=\n](.*)$", text)
    return found[-1] if found else None
