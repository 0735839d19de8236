"""A run among many: what to start, what it waits for, and what it has left in its folder."""

import os
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from albert.common import json_files

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


class Record(NamedTuple):
    """What a run has recorded in eval_results.json; None where it has not.

    Attributes:
        best_metric: name of the metric that decides which step is best; "" without evaluations.
        step, metrics: those of the best step; metrics are {} without one.
        settings: {key: value}.
    """

    best_metric: str
    greater_is_better: bool
    step: Optional[int]
    metrics: Dict[str, float]
    settings: Dict[str, Any]

    @property
    def best(self) -> Optional[float]:
        """The best_metric at the best step."""
        return self.metrics.get(self.best_metric)

    @property
    def train_steps(self) -> Optional[int]:
        # The second is the key of earlier releases.
        return self.settings.get("train_steps", self.settings.get("Training steps"))

    def training_seconds(self, steps_done: int) -> Optional[float]:
        """Returns how long the steps that are left take at the speed measured; None without one."""
        speed, batch = (
            self.settings.get(name) for name in ("examples_per_second", "global_batch_size")
        )
        if not self.train_steps or not speed or not batch:
            return None
        return max(self.train_steps - steps_done, 0) * batch / speed


def read_record(output_dir: str) -> Record:
    """Returns the Record of a run; an empty one where there is no eval_results.json.

    Raises:
        UsageError: the file cannot be read.
    """
    path = os.path.join(output_dir, "eval_results.json")
    if not os.path.exists(path):
        return Record("", True, None, {}, {})
    stored = json_files.load_json(path, allow_nan=True)  # of earlier releases
    best = stored.get("best") or {}
    return Record(
        best_metric=str(stored.get("best_metric", "")),
        greater_is_better=bool(stored.get("greater_is_better", True)),
        step=best.get("step"),
        metrics={
            name: value for name, value in best.get("metrics", {}).items() if value is not None
        },
        settings=json_files.value_of(stored, "settings", dict, path, "the record"),
    )


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
