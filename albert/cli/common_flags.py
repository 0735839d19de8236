"""The flags all runners share, and how a runner runs."""

import logging
import os
import sys

import tensorflow.compat.v1 as tf
from absl import app, flags

from albert import modeling, tokenization
from albert.cli import quiet, recipes
from albert.common import console
from albert.common.errors import UsageError
from albert.engine import checkpoints, training
from albert.engine.config import FinetuneConfig

FLAGS = flags.FLAGS

_log = logging.getLogger(__name__)

# Flags of TPU runs, which scripts of the original may pass along.
_WITHOUT_EFFECT = ("tpu_name", "tpu_zone", "gcp_project", "master", "num_tpu_cores")


# {setting: flag} where the names differ, for the flags are those of the original.
_FLAGS_OF_OTHER_NAMES = {
    "train_steps": "train_step",
    "warmup_steps": "warmup_step",
    "num_devices": "num_gpu_cores",
}


def define():
    """Defines the shared flags, with the original's names, meanings and defaults."""
    flags.DEFINE_string("data_dir", None, "Folder that holds the task's data.")
    flags.DEFINE_string("albert_config_file", None, "albert_config.json of the model.")
    flags.DEFINE_string("vocab_file", None, "Vocabulary of the model.")
    flags.DEFINE_string(
        "spm_model_file", None, "SentencePiece model; without it the vocabulary is WordPiece's."
    )
    flags.DEFINE_string("output_dir", None, "Folder for checkpoints and results.")
    flags.DEFINE_string("cached_dir", None, "Folder for feature files (default: output_dir).")
    flags.DEFINE_string(
        "init_checkpoint", None, "Pre-trained checkpoint; without it training is from scratch."
    )
    flags.DEFINE_bool(
        "discard_classifier_weights",
        False,
        "Take only the encoder from --init_checkpoint, not the head of another task.",
    )
    flags.DEFINE_bool("do_lower_case", True, "Lower-case the text (uncased models).")
    flags.DEFINE_bool("do_train", False, "Train.")
    flags.DEFINE_bool("do_predict", False, "Predict the test set with the best checkpoint.")
    flags.DEFINE_integer("train_batch_size", 32, "Examples per update on each replica.")
    flags.DEFINE_integer("predict_batch_size", 8, "Examples per prediction batch of a device.")
    flags.DEFINE_float("learning_rate", 5e-5, "Peak of the learning rate schedule.")
    flags.DEFINE_integer("save_checkpoints_steps", 1000, "Updates between two checkpoints.")
    flags.DEFINE_integer("keep_checkpoint_max", 5, "Checkpoints kept, besides the best one.")
    flags.DEFINE_enum("optimizer", "adamw", ["adamw", "lamb"], "Optimizer.")
    flags.DEFINE_enum(
        "strategy_type", "mirror", ["one", "mirror"], "One device, or several in step."
    )
    flags.DEFINE_integer("num_gpu_cores", 1, "Devices to train on, GPUs or CPU replicas.")
    flags.DEFINE_enum(
        "device_type",
        "auto",
        ["auto", "gpu", "cpu"],
        "Devices to use; auto: GPUs if there are any.",
    )
    flags.DEFINE_enum(
        "all_reduce",
        "auto",
        ["auto", "nccl", "hierarchical_copy"],
        "How gradients are summed over GPUs; auto: NCCL.",
    )
    flags.DEFINE_bool(
        "packed_tokens", True, "Compute real tokens only; False: padding too, with the same result."
    )
    flags.DEFINE_bool(
        "recipe", False, "Take the published settings of the task for flags that are not given."
    )
    flags.DEFINE_integer("seed", 42, "Decides initial weights, data order and dropout.")
    FLAGS.set_default("verbosity", 0)  # absl's own flag
    verbosity = FLAGS["verbosity"]
    verbosity.help = "-1 shows warnings alone, 0 how the run goes, 1 TensorFlow's messages too."
    flags.declare_key_flag("verbosity")
    flags.DEFINE_bool("use_tpu", False, "Refused: use google-research/albert on TPUs.")
    flags.DEFINE_integer("iterations_per_loop", 1000, "Without effect (TPU).")
    for name in _WITHOUT_EFFECT[:-1]:
        flags.DEFINE_string(name, None, "Without effect (TPU).")
    flags.DEFINE_integer("num_tpu_cores", 8, "Without effect (TPU).")


def define_dev_set_training(albert_dropout_prob):
    """Defines the flags of tasks that train for a number of updates and have a dev set.

    Args:
        albert_dropout_prob: default of the flag; None for what the configuration says.
    """
    flags.DEFINE_bool("do_eval", False, "Evaluate every checkpoint on the dev set.")
    flags.DEFINE_integer("eval_batch_size", 8, "Examples per evaluation batch of a device.")
    flags.DEFINE_integer("train_step", 1000, "Updates to train for.")
    flags.DEFINE_integer("warmup_step", 0, "Updates of linear learning rate warm-up.")
    define_dropout(
        "albert_dropout_prob",
        albert_dropout_prob,
        "Dropout inside ALBERT, in place of the configuration's.",
    )


def define_dropout(name, default, text):
    """Defines a flag that is a dropout rate."""
    flags.DEFINE_float(name, default, text, lower_bound=0.0, upper_bound=0.99)


def check(without_effect=()):
    """Refuses or reports flags that cannot act, and required ones that are missing.

    Args:
        without_effect: names of more flags that are only accepted.

    Raises:
        UsageError: see above.
    """
    if FLAGS.use_tpu:
        raise UsageError(
            "--use_tpu=True is not supported; google-research/albert runs on TPUs. "
            "This runner takes GPUs and CPUs."
        )
    for name in ("albert_config_file", "output_dir"):
        if not getattr(FLAGS, name):
            raise UsageError(f"--{name} is required.")
    names = (*_WITHOUT_EFFECT, "iterations_per_loop", *without_effect)
    idle = [name for name in names if FLAGS[name].present]
    if idle:
        _log.warning("Without effect here: %s.", ", ".join(f"--{name}" for name in idle))


def make_tokenizer(albert_config, max_seq_length):
    """Returns the FullTokenizer of the flags; raises UsageError unless it fits the model."""
    tokenizer = tokenization.FullTokenizer(
        FLAGS.vocab_file, FLAGS.do_lower_case, FLAGS.spm_model_file
    )
    check_fit(albert_config, tokenizer, max_seq_length)
    return tokenizer


def run_engine(task, config, is_scored):
    """Does what --do_train and --do_predict ask for, and scores every checkpoint if `is_scored`."""
    engine = training.Engine(task, config)
    try:
        if FLAGS.do_train:
            engine.train(evaluate=is_scored)
    except (training.Interrupted, tf.train.NanLossDuringTrainingError):
        engine.summarize()
        raise
    if is_scored:
        engine.evaluate()
    if FLAGS.do_predict:
        engine.predict()
    if FLAGS.do_train or is_scored:
        engine.summarize()


def apply_recipe(name):
    """Fills in, if --recipe is given, what the user has not set, and logs where each value is from.

    Args:
        name: key of recipes.RECIPES.

    Raises:
        UsageError: there is no such recipe.
    """
    if not FLAGS.recipe:
        return
    recipe = recipes.find(name)
    num_replicas = max(FLAGS.num_gpu_cores, 1) if FLAGS.strategy_type == "mirror" else 1
    given_batch, given_steps = (
        FLAGS[flag].value if flag in FLAGS and FLAGS[flag].present else None
        for flag in ("train_batch_size", "train_step")
    )
    settings = recipes.settings_for(recipe, num_replicas, given_batch, given_steps)
    for flag, value in settings.items():
        if FLAGS[flag].present:
            _log.info("Recipe of %s: --%s=%s is yours.", name, flag, FLAGS[flag].value)
        else:
            FLAGS.set_default(flag, value)
            _log.info("Recipe of %s: --%s=%s.", name, flag, value)
    if "train_step" in recipe.settings:
        _explain_steps(recipe, FLAGS.train_batch_size * num_replicas, given_steps)
    if recipe.starts_from_mnli and not FLAGS.discard_classifier_weights:
        _log.info(
            "The published results start from a model of MNLI: "
            "--init_checkpoint=<its output_dir>/model.ckpt-best --discard_classifier_weights."
        )


def _explain_steps(recipe, batch_size, given_steps):
    """Logs why the counts of steps are not the published ones, if they are not."""
    published = recipe.settings["train_step"], recipe.settings["warmup_step"]
    if given_steps is not None:
        _log.info("Of %d published steps %d are warm-up: that share of yours is.", *published)
    elif batch_size != recipe.batch_size:
        _log.info(
            "The published batch is %d, here it is %d: %d steps, %d of them warm-up, are scaled to "
            "see as many examples.",
            recipe.batch_size,
            batch_size,
            *published,
        )


def run_dev_set_training(task_of, recipe, without_effect=()):
    """Does what --do_train, --do_eval and --do_predict ask for.

    Args:
        task_of: function from the AlbertConfig to the Task that the flags describe.
        recipe: see `apply_recipe`.
        without_effect: see `check`.
    """
    if not (FLAGS.do_train or FLAGS.do_eval or FLAGS.do_predict):
        raise UsageError("Give at least one of --do_train, --do_eval and --do_predict.")
    check(without_effect)
    apply_recipe(recipe)
    albert_config = modeling.AlbertConfig.from_json_file(FLAGS.albert_config_file)
    if FLAGS.albert_dropout_prob is not None:
        albert_config.hidden_dropout_prob = FLAGS.albert_dropout_prob
        albert_config.attention_probs_dropout_prob = FLAGS.albert_dropout_prob
    config = finetune_config(
        albert_config,
        eval_batch_size=FLAGS.eval_batch_size,
        train_steps=FLAGS.train_step,
        warmup_steps=FLAGS.warmup_step,
    )
    run_engine(task_of(albert_config), config, is_scored=FLAGS.do_eval)


def check_fit(albert_config, tokenizer, max_seq_length):
    """Raises UsageError unless text of that length, so tokenized, fits the model."""
    if not 0 < max_seq_length <= albert_config.max_position_embeddings:
        raise UsageError(
            f"--max_seq_length={max_seq_length} must be from 1 to "
            f"{albert_config.max_position_embeddings}, the positions of the model."
        )
    if tokenizer.vocab_size != albert_config.vocab_size:
        raise UsageError(
            f"The vocabulary has {tokenizer.vocab_size} tokens, but --albert_config_file="
            f"{FLAGS.albert_config_file} says vocab_size {albert_config.vocab_size}."
        )


def finetune_config(albert_config, **more):
    """Returns the FinetuneConfig of the shared flags, with `more` for what a runner adds."""
    return FinetuneConfig(
        albert_config=albert_config,
        output_dir=FLAGS.output_dir,
        cached_dir=FLAGS.cached_dir,
        init_checkpoint=checkpoints.prefix(FLAGS.init_checkpoint)
        if FLAGS.init_checkpoint
        else None,
        discard_classifier_weights=FLAGS.discard_classifier_weights,
        train_batch_size=FLAGS.train_batch_size,
        predict_batch_size=FLAGS.predict_batch_size,
        learning_rate=FLAGS.learning_rate,
        save_checkpoints_steps=FLAGS.save_checkpoints_steps,
        keep_checkpoint_max=FLAGS.keep_checkpoint_max,
        optimizer=FLAGS.optimizer,
        strategy_type=FLAGS.strategy_type,
        num_devices=FLAGS.num_gpu_cores,
        device_type=FLAGS.device_type,
        all_reduce=FLAGS.all_reduce,
        packed_tokens=FLAGS.packed_tokens,
        seed=FLAGS.seed,
        **more,
    )


def run(main):
    """Parses the flags, calls `main()` and exits; the user's mistakes end in one line, status 1."""
    if sys.stderr is None:  # closed, as by 2>&-
        sys.stderr = open(os.devnull, "w")
    app.run(lambda _: _report(main), flags_parser=_parse)


def _parse(arguments):
    try:
        rest = FLAGS(arguments)
    except flags.Error as error:
        _fail(" ".join(str(error).split()))
    if len(rest) > 1:
        _fail(f"Unexpected argument {rest[1]!r}; flags are written --name=value.")
    return rest


def _report(main):
    try:
        quiet.has_started()
        _set_verbosity(FLAGS.verbosity)
        main()
    except UsageError as error:
        _fail(error.text(flag_of))
    except tf.train.NanLossDuringTrainingError:
        _fail(
            f"The loss became NaN with --learning_rate={FLAGS.learning_rate}: use a lower one, or "
            "a longer warm-up, and another --output_dir."
        )
    except (OSError, tf.errors.OpError) as error:
        if "No space left on device" not in str(error):
            raise
        _fail(
            f"The disk of --output_dir={FLAGS.output_dir} is full. What was saved before is whole: "
            "free some space, and the same command goes on from there."
        )
    except training.Interrupted as stopped:
        _log.warning("%s", stopped)
        sys.exit(stopped.exit_status)
    except KeyboardInterrupt:
        _log.warning("Interrupted. The same command goes on from the last checkpoint.")
        sys.stderr.flush()
        os._exit(130)  # threads of TensorFlow may still be at work


def flag_of(setting):
    """Returns the flag that sets a setting of the engine or of a task: `--train_step`."""
    return "--" + _FLAGS_OF_OTHER_NAMES.get(setting, setting)


def _fail(message):
    print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr)
    sys.exit(1)


def _set_verbosity(verbosity):
    """Shows our log, and TensorFlow's too if `verbosity` is 1 or more."""
    console.show_log(logging.WARNING if verbosity < 0 else logging.INFO)
    # TensorFlow's errors come as exceptions too, which end the run in our words.
    tf.logging.set_verbosity(tf.logging.INFO if verbosity > 0 else tf.logging.FATAL)
    tensorflow = logging.getLogger("tensorflow")
    if tensorflow.handlers:  # absl has one for the root logger, which would show each line again
        tensorflow.propagate = False
