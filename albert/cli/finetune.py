"""From the flags of a runner to its run: flags -> (Task, FinetuneConfig) -> engine."""

import dataclasses
import logging
import math
import sys
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterable, Sequence

import tensorflow.compat.v1 as tf
from absl import flags

from albert import modeling, tokenization
from albert.cli import recipes
from albert.cli.flag_groups import GROUPS, WITHOUT_EFFECT
from albert.cli.shared_flags import flag_name
from albert.common.errors import UsageError
from albert.engine import checkpoints, training
from albert.engine.config import FinetuneConfig, num_replicas
from albert.engine.task import Task

FLAGS = flags.FLAGS

_log = logging.getLogger(__name__)


# The options of a run


def read_options(recipe: str, required: Sequence[str] = ()) -> SimpleNamespace:
    """Returns the value of every flag: the user's, or the recipe's under --recipe, or the default.

    Nothing that comes later reads the flags, which do not know the recipe's values.

    Args:
        recipe: key of recipes.RECIPES.
        required: names of flags that must be given, besides those that every run requires.

    Raises:
        UsageError: there is nothing to do, a required flag is missing, or there is no such recipe.
    """
    _check_flags(("albert_config_file", "output_dir", *required))
    options = SimpleNamespace(**FLAGS.flag_values_dict())
    if options.recipe:
        vars(options).update(_recipe_values(recipe, options))
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
    idle = [
        f"--{flag.name}"
        for flag in FLAGS.get_key_flags_for_module(WITHOUT_EFFECT)
        if flag.present and flag.name != "use_tpu"
    ]
    if idle:
        _log.warning("Without effect here: %s.", ", ".join(idle))


def _recipe_values(name: str, options: SimpleNamespace) -> Dict[str, Any]:
    """Returns {flag: value} for a recipe and what the user has set, and logs where each is from."""
    recipe = recipes.find(name)
    given = {flag: FLAGS[flag].value for flag in FLAGS if FLAGS[flag].present}
    replicas = num_replicas(options.strategy_type, max(options.num_gpu_cores, 1))
    settings = recipes.settings_for(recipe, given, replicas)
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


# What the options describe


def config_of(
    options: SimpleNamespace, albert_config: modeling.AlbertConfig, **changes: Any
) -> FinetuneConfig:
    """Returns the FinetuneConfig that the options describe, but for `changes` of its fields."""
    fields = [field.name for field in dataclasses.fields(FinetuneConfig)]
    values = dict(setting_values(fields, options), albert_config=albert_config, **changes)
    if options.init_checkpoint:
        values["init_checkpoint"] = checkpoints.prefix(options.init_checkpoint)
        if not checkpoints.exists(values["init_checkpoint"]):
            raise UsageError(
                f"--init_checkpoint={options.init_checkpoint}: there is no such checkpoint (give "
                "the path without .index)."
            )
    return FinetuneConfig(**values)


def with_epochs(config: FinetuneConfig, options: SimpleNamespace, task: Task) -> FinetuneConfig:
    """Returns the config with as many updates of the global batch as the epochs take.

    The training features are made now, unless they are cached, to be counted.
    """
    epochs = options.num_train_epochs
    if not 0 < epochs < math.inf:
        raise UsageError(f"--num_train_epochs={epochs} must be above 0.")
    num_features = training.feature_file(task, config, task.train_split).num_features
    steps = math.ceil(num_features * epochs / config.global_batch_size)
    warmup_steps = int(steps * options.warmup_proportion)
    _log.info(
        "%g epoch(s) of %d features are %d updates, %d of them warm-up.",
        epochs,
        num_features,
        steps,
        warmup_steps,
    )
    return dataclasses.replace(config, train_steps=steps, warmup_steps=warmup_steps)


def tokenizer_of(
    options: SimpleNamespace, albert_config: modeling.AlbertConfig
) -> tokenization.FullTokenizer:
    """Returns the tokenizer that the options describe.

    Raises:
        UsageError: its vocabulary, or --max_seq_length, does not fit the model.
    """
    tokenizer = tokenization.FullTokenizer(
        options.vocab_file, options.do_lower_case, options.spm_model_file
    )
    if not 0 < options.max_seq_length <= albert_config.max_position_embeddings:
        raise UsageError(
            f"--max_seq_length={options.max_seq_length} must be from 1 to "
            f"{albert_config.max_position_embeddings}, the positions of the model."
        )
    if tokenizer.vocab_size != albert_config.vocab_size:
        raise UsageError(
            f"The vocabulary has {tokenizer.vocab_size} tokens, but --albert_config_file="
            f"{options.albert_config_file} says vocab_size {albert_config.vocab_size}."
        )
    return tokenizer


# The run


def run_dev_set_training(
    task_of: Callable[[SimpleNamespace, modeling.AlbertConfig], Task], options: SimpleNamespace
) -> None:
    """Does what --do_train, --do_eval and --do_predict ask for.

    Args:
        task_of: returns the task that the options describe, for a model.
    """
    albert_config = modeling.AlbertConfig.from_json_file(options.albert_config_file)
    if options.albert_dropout_prob is not None:
        albert_config.hidden_dropout_prob = options.albert_dropout_prob
        albert_config.attention_probs_dropout_prob = options.albert_dropout_prob
    config = config_of(options, albert_config)
    run_engine(task_of(options, albert_config), config, options, is_scored=options.do_eval)


def run_engine(
    task: Task, config: FinetuneConfig, options: SimpleNamespace, is_scored: bool
) -> None:
    """Trains and predicts as the options say; `is_scored`: evaluates every checkpoint, too.

    Raises:
        UsageError: the loss became NaN.
        SystemExit: a signal stopped the training; a checkpoint was saved.
    """
    recorded = [flag.name for group in GROUPS for flag in FLAGS.get_key_flags_for_module(group)]
    engine = training.Engine(task, config, {name: getattr(options, name) for name in recorded})
    try:
        if options.do_train:
            engine.train(evaluate=is_scored, predict=options.do_predict)
    except training.Interrupted as stopped:
        engine.summarize()
        _log.warning("%s", stopped)
        sys.exit(stopped.exit_status)
    except tf.train.NanLossDuringTrainingError as error:
        engine.summarize()
        raise UsageError(
            f"The loss became NaN with --learning_rate={config.learning_rate}: use a lower one, or "
            "a longer warm-up, and another --output_dir."
        ) from error
    if is_scored:
        engine.evaluate()
    if options.do_predict:
        engine.predict()
    if options.do_train or is_scored:
        engine.summarize()
