"""The flags of runners that read the user's own files."""

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Dict, Optional

from absl import flags

from albert.cli.flag_groups import DATA, PREDICTION
from albert.cli.options import check_file, setting_values
from albert.common.errors import UsageError

if TYPE_CHECKING:
    from albert.glue.split_files import SplitFiles

# {what needs it: flag of a data file}
_FILES = {"do_train": "train_file", "do_eval": "validation_file", "do_predict": "test_file"}


def define(endings: str) -> None:
    """Defines the flags.

    Args:
        endings: of the files that can be read, in words.
    """
    for name, meaning in (
        ("train_file", f"Your own data: {endings}; text also with .gz."),
        ("validation_file", "Your own data to evaluate every checkpoint on."),
        ("test_file", "Your own data to predict; labels in it are not read."),
    ):
        flags.DEFINE_string(name, None, meaning, module_name=DATA)
    flags.DEFINE_float(
        "validation_split",
        0.1,
        "Share of --train_file held out for --do_eval without --validation_file.",
        lower_bound=0.0,
        upper_bound=0.9,
        module_name=DATA,
    )
    flags.DEFINE_string(
        "best_metric",
        None,
        "Metric that decides which checkpoint is best (default: the task's usual one).",
        module_name=PREDICTION,
    )


def are_given(options: Any) -> bool:
    """Returns whether the options name such files."""
    return any(getattr(options, name) for name in _FILES.values())


def check(options: SimpleNamespace) -> None:
    """Raises UsageError unless the files that the options need are there."""
    for switch, file in _FILES.items():
        is_split = switch == "do_eval" and options.train_file and options.validation_split
        if getattr(options, switch) and not getattr(options, file) and not is_split:
            raise UsageError(f"--{file} is required by --{switch}.")
        check_file(file, getattr(options, file))


def split_files(options: SimpleNamespace, text_format: Optional[str] = None) -> "SplitFiles":
    """Returns the SplitFiles that the options describe."""
    from albert.glue.split_files import SplitFiles, SplitSettings

    settings = SplitSettings(**setting_values(SplitSettings._fields, options))
    return SplitFiles(settings, text_format)


def recorded_settings(options: SimpleNamespace) -> Dict[str, Any]:
    """Returns {name: value} of the run in --output_dir, else of that of --init_checkpoint."""
    from albert.engine import run_identity

    recorded = run_identity.recorded_settings(options.output_dir)
    if not recorded and options.init_checkpoint:
        recorded = run_identity.recorded_settings(os.path.dirname(options.init_checkpoint))
    return recorded
