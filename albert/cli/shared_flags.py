"""The flags that runners share, with the original's names and defaults."""

from typing import NamedTuple, Optional

from absl import flags

from albert.cli.flag_groups import (
    DATA,
    DEVICES,
    MODEL,
    PREDICTION,
    RESULTS,
    TO_DO,
    TRAINING,
    WITHOUT_EFFECT,
)
from albert.engine.config import (
    ALL_REDUCES,
    DEVICE_TYPES,
    FREEZE,
    ON_NAN,
    OPTIMIZERS,
    PRECISIONS,
    STRATEGY_TYPES,
    XLA,
)

# {setting: flags} where the names differ, because the flags are those of the original, whose
# runners do not agree.
_FLAGS_OF_OTHER_NAMES = {
    "train_steps": ("train_step", "num_train_steps"),
    "warmup_steps": ("warmup_step", "num_warmup_steps"),
    "num_devices": ("num_gpu_cores",),
    "max_predictions": ("max_predictions_per_seq",),
}


class Schedule(NamedTuple):
    """The flags for the numbers of updates, of runners that count them, and their defaults."""

    train_steps: str = "train_step"
    num_train_steps: int = 1000
    warmup_steps: str = "warmup_step"
    num_warmup_steps: int = 0


_SCHEDULE = Schedule()


def flag_name(setting: str) -> str:
    """Returns the name of this runner's flag for a setting of the engine or of a task."""
    names = _FLAGS_OF_OTHER_NAMES.get(setting, (setting,))
    return next((name for name in names if name in flags.FLAGS), names[0])


def flag_of(setting: str) -> str:
    """Returns the flag for a setting as the user writes it: `--train_step`."""
    return f"--{flag_name(setting)}"


def define(
    has_dev_set: bool = False, has_test_set: bool = True, schedule: Schedule = _SCHEDULE
) -> None:
    """Defines the flags of all runners.

    Args:
        has_dev_set: whether to define, too, those of tasks that train for a number of updates and
            have a dev set.
        has_test_set: likewise those of tasks that fine-tune a model, to predict with it.
        schedule: of the runners with has_dev_set.
    """
    _define_what_to_do(has_dev_set, has_test_set)
    _define_data_and_model(has_dev_set, has_test_set)
    _define_training(has_dev_set, schedule)
    _define_prediction(has_dev_set, has_test_set)
    _define_devices()
    _define_results()
    for name in ("tpu_name", "tpu_zone", "gcp_project", "master"):
        define_without_effect(name, "For TPUs.")
    flags.DEFINE_integer("num_tpu_cores", 8, "For TPUs.", module_name=WITHOUT_EFFECT)
    flags.DEFINE_integer("iterations_per_loop", 1000, "For TPUs.", module_name=WITHOUT_EFFECT)
    flags.DEFINE_bool(
        "use_tpu",
        False,
        "True is refused: use google-research/albert on TPUs.",
        module_name=WITHOUT_EFFECT,
    )


def define_dropout(name: str, default: Optional[float], meaning: str) -> None:
    """Defines a flag for a dropout rate."""
    flags.DEFINE_float(
        name, default, meaning, lower_bound=0.0, upper_bound=0.99, module_name=TRAINING
    )


def define_albert_dropout(default: Optional[float]) -> None:
    """Defines the flag for dropout inside ALBERT; None leaves it to the model's configuration."""
    define_dropout(
        "albert_dropout_prob", default, "Dropout inside ALBERT, in place of the configuration's."
    )


def define_without_effect(name: str, meaning: str) -> None:
    """Defines a flag of the original that is accepted and has no effect."""
    flags.DEFINE_string(name, None, meaning, module_name=WITHOUT_EFFECT)


def _define_what_to_do(has_dev_set: bool, has_test_set: bool) -> None:
    flags.DEFINE_bool("do_train", False, "Train.", module_name=TO_DO)
    if has_dev_set:
        flags.DEFINE_bool(
            "do_eval", False, "Evaluate every checkpoint on the dev set.", module_name=TO_DO
        )
    if not has_test_set:
        return
    flags.DEFINE_bool(
        "do_predict", False, "Predict the test set with the best checkpoint.", module_name=TO_DO
    )
    flags.DEFINE_bool(
        "recipe",
        False,
        "Use the published settings of the task for all flags that are not given.",
        module_name=TO_DO,
    )


def _define_data_and_model(has_dev_set: bool, has_test_set: bool) -> None:
    if has_dev_set and has_test_set:
        flags.DEFINE_string("data_dir", None, "Folder with the task's data.", module_name=DATA)
    flags.DEFINE_string(
        "cached_dir", None, "Folder for feature files (default: output_dir).", module_name=DATA
    )
    limits = {"train": "train on", "eval": "evaluate on", "predict": "predict"}
    for split, what in limits.items():
        if not has_test_set or (split == "eval" and not has_dev_set):
            continue
        flags.DEFINE_integer(
            f"max_{split}_samples",
            None,
            f"Examples to {what}, the first ones (default: all).",
            module_name=DATA,
        )
    for name, meaning in (
        ("albert_config_file", "albert_config.json of the model."),
        (
            "init_checkpoint",
            "Pre-trained checkpoint, or a model of Hugging Face; without it training starts from "
            "scratch.",
        ),
        ("vocab_file", "Vocabulary of the model."),
        ("spm_model_file", "SentencePiece model; without it --vocab_file is read as WordPiece's."),
    ):
        flags.DEFINE_string(name, None, meaning, module_name=MODEL)
    flags.DEFINE_bool(
        "do_lower_case", True, "Lower-case the text (uncased models).", module_name=MODEL
    )
    flags.DEFINE_bool(
        "discard_classifier_weights",
        False,
        "Take only the encoder from --init_checkpoint, not the head of another task.",
        module_name=MODEL,
    )


def _define_training(has_dev_set: bool, schedule: Schedule) -> None:
    flags.DEFINE_integer(
        "train_batch_size", 32, "Examples per batch of a replica.", module_name=TRAINING
    )
    flags.DEFINE_float(
        "learning_rate", 5e-5, "Peak of the learning rate schedule.", module_name=TRAINING
    )
    if has_dev_set:
        flags.DEFINE_integer(
            schedule.train_steps,
            schedule.num_train_steps,
            "Updates to train for.",
            module_name=TRAINING,
        )
        flags.DEFINE_integer(
            schedule.warmup_steps,
            schedule.num_warmup_steps,
            "Updates of linear learning rate warm-up.",
            module_name=TRAINING,
        )
    flags.DEFINE_float(
        "num_train_epochs",
        None if has_dev_set else 3.0,
        "Epochs to train for, on any number of devices"
        + (f", in place of --{schedule.train_steps}." if has_dev_set else "."),
        module_name=TRAINING,
    )
    flags.DEFINE_float(
        "warmup_proportion",
        None if has_dev_set else 0.1,
        "Share of the updates with linear learning rate warm-up"
        + (f", in place of --{schedule.warmup_steps}." if has_dev_set else "."),
        lower_bound=0.0,
        upper_bound=1.0,
        module_name=TRAINING,
    )
    flags.DEFINE_enum("optimizer", "adamw", OPTIMIZERS, "Optimizer.", module_name=TRAINING)
    flags.DEFINE_bool(
        "bias_correction",
        False,
        "Correct the bias of the optimizer's moments; steadies small tasks (arXiv 2006.05987).",
        module_name=TRAINING,
    )
    flags.DEFINE_float(
        "layerwise_lr_decay",
        1.0,
        "Factor on the learning rate for each step down from pooler and head: to the layers, which "
        "in ALBERT are one set of weights, and to the embeddings.",
        module_name=TRAINING,
    )
    flags.DEFINE_enum(
        "freeze",
        "none",
        FREEZE,
        "Keep as they are: the embeddings with their projection, or everything pre-trained, the "
        "pooler included.",
        module_name=TRAINING,
    )
    flags.DEFINE_integer(
        "gradient_accumulation_steps",
        1,
        "Batches of --train_batch_size per update on each replica, one after the other.",
        module_name=TRAINING,
    )
    flags.DEFINE_enum(
        "on_nan",
        "stop",
        ON_NAN,
        "Where a gradient is not finite: stop, or skip the batch (as fp16 always does).",
        module_name=TRAINING,
    )
    flags.DEFINE_float(
        "loss_scale",
        None,
        "Fixed loss scale for fp16; without it the scale adapts to the gradients.",
        module_name=TRAINING,
    )
    flags.DEFINE_integer(
        "early_stopping_patience",
        None,
        "Stop after so many evaluations without a better one than before.",
        module_name=TRAINING,
    )
    flags.DEFINE_integer(
        "seed", 42, "Decides initial weights, data order and dropout.", module_name=TRAINING
    )


def _define_prediction(has_dev_set: bool, has_test_set: bool) -> None:
    batches = {"predict_batch_size": "prediction"} if has_test_set else {}
    if has_dev_set:
        batches["eval_batch_size"] = "evaluation"
    for name, what in batches.items():
        flags.DEFINE_integer(
            name,
            None,
            f"Examples per {what} batch of a device (default: as many as suit it).",
            module_name=PREDICTION,
        )
    flags.DEFINE_integer(
        "eval_steps",
        None,
        "Updates between two evaluations, a multiple of --save_checkpoints_steps (default: every "
        "checkpoint is evaluated, and in any case the last).",
        module_name=PREDICTION,
    )
    flags.DEFINE_string(
        "eval_checkpoint",
        None,
        "Checkpoint to evaluate and to predict with, without --do_train (default: the best in "
        "output_dir).",
        module_name=PREDICTION,
    )
    flags.DEFINE_string(
        "predict_output_dir",
        None,
        "Folder for predictions (default: output_dir; predictions_<name> in it for other data).",
        module_name=PREDICTION,
    )


def _define_devices() -> None:
    flags.DEFINE_enum(
        "strategy_type",
        "mirror",
        STRATEGY_TYPES,
        "One device, several in step, or those of several machines, see docs/distributed.md.",
        module_name=DEVICES,
    )
    flags.DEFINE_string(
        "worker_hosts",
        None,
        "Addresses of all workers, host:port,host:port, for multi_worker; the first is the chief "
        "(default: from TF_CONFIG or Slurm).",
        module_name=DEVICES,
    )
    flags.DEFINE_integer(
        "task_index", None, "This worker's place in --worker_hosts, from 0.", module_name=DEVICES
    )
    flags.DEFINE_integer(
        "num_gpu_cores",
        1,
        "Devices to train on, GPUs or CPU replicas, of each worker.",
        module_name=DEVICES,
    )
    flags.DEFINE_enum(
        "device_type",
        "auto",
        DEVICE_TYPES,
        "Devices to use; auto: GPUs if there are any.",
        module_name=DEVICES,
    )
    flags.DEFINE_enum(
        "all_reduce",
        "auto",
        ALL_REDUCES,
        "How gradients are summed over GPUs; auto: NCCL.",
        module_name=DEVICES,
    )
    flags.DEFINE_enum(
        "precision",
        "fp32",
        PRECISIONS,
        "Of products and activations: bf16 on TensorFlow 2.15, fp16 on GPUs.",
        module_name=DEVICES,
    )
    flags.DEFINE_enum(
        "xla",
        "auto",
        XLA,
        "Compile gelu; auto: in bf16 on CPUs, for models as wide as base.",
        module_name=DEVICES,
    )
    flags.DEFINE_bool(
        "recompute_activations",
        False,
        "Save memory: keep one layer's activations at a time, compute the others again.",
        module_name=DEVICES,
    )
    flags.DEFINE_bool(
        "deterministic",
        False,
        "Compute the same bits in every run on GPUs, more slowly, as CPUs always do.",
        module_name=DEVICES,
    )
    flags.DEFINE_bool(
        "packed_tokens",
        True,
        "Compute real tokens only; False: padding too, with the same result.",
        module_name=DEVICES,
    )


def _define_results() -> None:
    flags.DEFINE_string(
        "output_dir", None, "Folder for checkpoints and results.", module_name=RESULTS
    )
    flags.DEFINE_bool(
        "overwrite_output_dir",
        False,
        "Train anew: first delete what runs, and nothing else, have left in output_dir.",
        module_name=RESULTS,
    )
    flags.DEFINE_integer(
        "save_checkpoints_steps", 1000, "Updates between two checkpoints.", module_name=RESULTS
    )
    flags.DEFINE_integer(
        "keep_checkpoint_max", 5, "Checkpoints kept besides the best one.", module_name=RESULTS
    )
    define_verbosity()


def define_verbosity() -> None:
    """Makes absl's own flag for the log ours."""
    flags.FLAGS.set_default("verbosity", 0)
    verbosity = flags.FLAGS["verbosity"]
    verbosity.help = "-1: warnings only; 0: progress, too; 1: TensorFlow's messages, too."
    flags.FLAGS.register_key_flag_for_module(RESULTS, verbosity)
