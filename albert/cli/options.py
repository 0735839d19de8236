"""The options of a run, from its flags; what is wrong with them is found before TensorFlow starts.

Importing TensorFlow takes seconds, so this module and what it imports do without.
"""

import dataclasses
import errno
import logging
import math
import os
import tempfile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Dict, Iterable, Optional, Sequence

from absl import flags

from albert.cli import recipes
from albert.cli.flag_groups import GROUPS, WITHOUT_EFFECT
from albert.cli.shared_flags import flag_name
from albert.cluster.spec import Cluster, find
from albert.common.errors import UsageError
from albert.conversion.names import is_model
from albert.engine.config import FinetuneConfig, checkpoint_prefix

if TYPE_CHECKING:
    from albert.modeling import AlbertConfig

FLAGS = flags.FLAGS

# Names of the files in output_dir that make it complete, for albert.predict.
CONFIG, SPM_MODEL, VOCABULARY = "albert_config.json", "spiece.model", "vocab.txt"

_ALTERNATIVES_OF_PRETRAINING = (
    ("num_train_steps", "num_train_epochs"),
    ("num_warmup_steps", "warmup_proportion"),
)
_FILES = ("albert_config_file", "vocab_file", "spm_model_file")
_CHECKPOINTS = ("init_checkpoint", "eval_checkpoint")
_FOLDERS_TO_WRITE = ("output_dir", "cached_dir", "predict_output_dir")

_log = logging.getLogger(__name__)


def read_options(recipe: Optional[str], required: Sequence[str] = ()) -> SimpleNamespace:
    """Returns the value of every flag: the user's, or the recipe's under --recipe, or the default.

    Nothing that comes later reads the flags, which do not know the recipe's values.

    Args:
        recipe: key of recipes.RECIPES; None for a runner that has none.
        required: names of flags that must be given, besides those that every run requires.

    Raises:
        UsageError: there is nothing to do, a required flag is missing, there is no such recipe, a
            value is not allowed, or a file or folder cannot be used.
    """
    _check_flags(("albert_config_file", "output_dir", *required))
    options = SimpleNamespace(**FLAGS.flag_values_dict(), cluster=_cluster())
    if recipe and options.recipe:
        vars(options).update(_recipe_values(recipe, options))
    for name in _CHECKPOINTS:
        if getattr(options, name):
            setattr(options, name, checkpoint_prefix(getattr(options, name)))
    config_of(options)
    _check_paths(options)
    return options


def _check_flags(required: Iterable[str]) -> None:
    switches = [name for name in ("do_train", "do_eval", "do_predict") if name in FLAGS]
    if not any(FLAGS[name].value for name in switches):
        first = ", ".join(f"--{name}" for name in switches[:-1])
        raise UsageError(f"Give at least one of {first} and --{switches[-1]}.")
    if FLAGS.use_tpu:
        raise UsageError(
            "--use_tpu=True is not supported; google-research/albert runs on TPUs. "
            "This runner takes GPUs and CPUs."
        )
    for name in required:
        if not FLAGS[name].value:
            raise UsageError(f"--{name} is required.")
    for name, value in FLAGS.flag_values_dict().items():
        if isinstance(value, float) and not math.isfinite(value):  # bounds let NaN through
            raise UsageError(f"--{name}={value} is not a finite number.")
    _check_combinations()
    idle = [
        f"--{flag.name}"
        for flag in FLAGS.get_key_flags_for_module(WITHOUT_EFFECT)
        if flag.present and flag.name != "use_tpu"
    ]
    if idle:
        _log.warning("Without effect here: %s.", ", ".join(idle))


def _check_combinations() -> None:
    for names in (*recipes.ALTERNATIVES.items(), *_ALTERNATIVES_OF_PRETRAINING):
        if all(name in FLAGS and FLAGS[name].present for name in names):
            both = " and ".join(f"--{name}={FLAGS[name].value}" for name in names)
            raise UsageError(f"{both} exclude each other: give one of them.")
    if FLAGS.overwrite_output_dir and not FLAGS.do_train:
        raise UsageError("--overwrite_output_dir is for --do_train, which is not given.")
    if FLAGS.eval_checkpoint and FLAGS.do_train:
        raise UsageError(
            f"--eval_checkpoint={FLAGS.eval_checkpoint} and --do_train exclude each other: a run "
            "that trains evaluates its own checkpoints."
        )


def _cluster() -> Optional[Cluster]:
    """Returns the cluster to train in; None for this process alone."""
    if FLAGS.strategy_type == "multi_worker":
        return find(FLAGS.worker_hosts, FLAGS.task_index, os.environ)
    for name in ("worker_hosts", "task_index"):
        if FLAGS[name].present:
            raise UsageError(f"--{name} is for --strategy_type=multi_worker.")
    if os.environ.get("TF_CONFIG"):
        _log.warning("TF_CONFIG has no effect without --strategy_type=multi_worker.")
    return None


def _recipe_values(name: str, options: SimpleNamespace) -> Dict[str, Any]:
    """Returns {flag: value} for a recipe and what the user has set, and logs where each is from."""
    recipe = recipes.find(name)
    given = {flag: FLAGS[flag].value for flag in FLAGS if FLAGS[flag].present}
    num_devices = 1 if options.strategy_type == "one" else max(options.num_gpu_cores, 1)
    num_workers = len(options.cluster.hosts) if options.cluster else 1
    settings = recipes.settings_for(recipe, given, num_devices * num_workers)
    for flag, setting in settings.items():
        _log.info("Recipe of %s: --%s=%s (%s).", name, flag, setting.value, setting.reason)
    if recipe.starts_from_mnli and not options.discard_classifier_weights:
        _log.info(
            "The published results start from a model fine-tuned on MNLI: "
            "--init_checkpoint=<its output_dir>/model.ckpt-best --discard_classifier_weights."
        )
    return {flag: setting.value for flag, setting in settings.items()}


def setting_values(names: Iterable[str], options: SimpleNamespace) -> Dict[str, Any]:
    """Returns {setting: value} of those settings that have a flag."""
    values = vars(options)
    return {name: values[flag_name(name)] for name in names if flag_name(name) in values}


def recorded_values(options: SimpleNamespace) -> Dict[str, Any]:
    """Returns {flag: value} of the flags in groups, for the record of a run."""
    names = [flag.name for group in GROUPS for flag in FLAGS.get_key_flags_for_module(group)]
    return {name: getattr(options, name) for name in names}


def config_of(
    options: SimpleNamespace, albert_config: Optional["AlbertConfig"] = None
) -> FinetuneConfig:
    """Returns the FinetuneConfig that the options describe.

    Args:
        albert_config: None to check the options before the model's configuration is read.
    """
    fields = [field.name for field in dataclasses.fields(FinetuneConfig)]
    values = dict(setting_values(fields, options), albert_config=albert_config)
    return FinetuneConfig(**values)


# Files and folders


def _check_paths(options: SimpleNamespace) -> None:
    if not options.vocab_file and not options.spm_model_file:
        raise UsageError("--spm_model_file or --vocab_file is needed; neither was given.")
    for name in _FILES:
        check_file(name, getattr(options, name))
    for name in _CHECKPOINTS:
        checkpoint = getattr(options, name)
        is_converted = name == "init_checkpoint" and checkpoint and is_model(checkpoint)
        if checkpoint and not is_converted and not os.path.exists(checkpoint + ".index"):
            raise UsageError(
                f"<{name}>: there is no such checkpoint (give the path without .index).",
                **{name: checkpoint},
            )
    for name in _FOLDERS_TO_WRITE:
        check_folder_to_write(name, getattr(options, name))


def check_file(name: str, path: Optional[str]) -> None:
    """Raises UsageError unless the flag of that name holds nothing, or the path of a file."""
    if path and os.path.isdir(path):
        raise _refused(name, path, errno.EISDIR)
    if path and not os.path.exists(path):
        raise _refused(name, path, errno.ENOENT)


def check_folder(name: str, path: Optional[str]) -> None:
    """Raises UsageError unless the flag of that name holds nothing, or the path of a folder."""
    if path and not os.path.isdir(path):
        raise _refused(name, path, errno.ENOTDIR if os.path.exists(path) else errno.ENOENT)


def check_folder_to_write(name: str, path: Optional[str], is_file: bool = False) -> None:
    """Raises UsageError if a folder cannot be written to, or not be made; makes none.

    Args:
        is_file: whether it is the folder of `path` that is meant.
    """
    if not path:
        return
    folder = os.path.abspath(path)
    if is_file:
        folder = os.path.dirname(folder)
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = f"cannot be written to: {error.strerror}"
        raise UsageError(f"<{name}> {reason}.", **{name: path}) from error


def _refused(name: str, path: str, reason: int) -> UsageError:
    return UsageError(f"<{name}>: {os.strerror(reason)}.", **{name: path})
