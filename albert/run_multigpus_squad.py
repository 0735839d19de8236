"""Fine-tunes ALBERT on SQuAD 1.1 or 2.0, on one or many GPUs: flags -> task -> engine."""

from albert.cli import quiet

if __name__ == "__main__":
    quiet.quiet_start()

import dataclasses
import logging
import math

from absl import flags

from albert import modeling
from albert.cli import common_flags
from albert.common.errors import UsageError
from albert.engine import training
from albert.squad_utils import VERSIONS, SquadSettings, SquadTask

FLAGS = flags.FLAGS

_log = logging.getLogger("albert.run_multigpus_squad")  # not __main__

# Flags of the original that say where to keep features: `cached_dir` does, under names that tell
# what was made of what.
_WITHOUT_EFFECT = (
    "train_feature_file",
    "predict_feature_file",
    "predict_feature_left_file",
    "eval_batch_size",
)


def define_flags():
    """Defines the flags of this runner."""
    common_flags.define()
    flags.DEFINE_enum("squad_version", "1.1", VERSIONS, "Version of the data and of the head.")
    flags.DEFINE_string("train_file", None, "SQuAD JSON to train on.")
    flags.DEFINE_string("predict_file", None, "SQuAD JSON to predict, and to score on.")
    flags.DEFINE_integer("max_seq_length", 384, "Longest window in tokens, question included.")
    flags.DEFINE_integer("doc_stride", 128, "Tokens from the beginning of a window to the next.")
    flags.DEFINE_integer("max_query_length", 64, "Longest question in tokens; the rest is cut.")
    flags.DEFINE_float("num_train_epochs", 3.0, "Epochs to train for, on any number of devices.")
    flags.DEFINE_float(
        "warmup_proportion",
        0.1,
        "Share of the updates with linear learning rate warm-up.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_integer("n_best_size", 20, "Answers listed in nbest_predictions.json.")
    flags.DEFINE_integer("max_answer_length", 30, "Longest answer in tokens.")
    flags.DEFINE_integer("start_n_top", 5, "Beginnings tried for each window (2.0).")
    flags.DEFINE_integer("end_n_top", 5, "Ends tried for each of them (2.0).")
    common_flags.define_dropout(
        "dropout_prob", 0.1, "Dropout in the head that tells whether there is an answer (2.0)."
    )
    for name in _WITHOUT_EFFECT[:-1]:
        flags.DEFINE_string(name, None, "Without effect: --cached_dir keeps the features.")
    flags.DEFINE_integer("eval_batch_size", 8, "Without effect: see --predict_batch_size.")
    flags.adopt_module_key_flags(common_flags)  # --help shows them too


def task_of(albert_config):
    """Returns the SquadTask that the flags describe."""
    for switch, name in (("do_train", "train_file"), ("do_predict", "predict_file")):
        if getattr(FLAGS, switch) and not getattr(FLAGS, name):
            raise UsageError(f"--{name} is required by --{switch}.")
    tokenizer = common_flags.make_tokenizer(albert_config, FLAGS.max_seq_length)
    settings = SquadSettings(**{name: getattr(FLAGS, name) for name in SquadSettings._fields})
    return SquadTask(
        tokenizer,
        settings,
        FLAGS.train_file if FLAGS.do_train else None,
        FLAGS.predict_file if FLAGS.do_predict else None,
    )


def with_steps(config, task):
    """Returns the config with as many updates as the epochs take, on the global batch."""
    if not 0 < FLAGS.num_train_epochs < math.inf:
        raise UsageError(f"--num_train_epochs={FLAGS.num_train_epochs} must be above 0.")
    num_features = training.feature_file(task, config, task.train_split).num_features
    steps = math.ceil(num_features * FLAGS.num_train_epochs / config.global_batch_size)
    warmup_steps = int(steps * FLAGS.warmup_proportion)
    _log.info(
        "%g epoch(s) of %d windows are %d updates, %d of them warm-up.",
        FLAGS.num_train_epochs,
        num_features,
        steps,
        warmup_steps,
    )
    return dataclasses.replace(config, train_steps=steps, warmup_steps=warmup_steps)


def main():
    """Does what --do_train and --do_predict ask for."""
    if not (FLAGS.do_train or FLAGS.do_predict):
        raise UsageError("Give --do_train, --do_predict or both.")
    common_flags.check(_WITHOUT_EFFECT)
    common_flags.apply_recipe(f"squad{FLAGS.squad_version}")
    albert_config = modeling.AlbertConfig.from_json_file(FLAGS.albert_config_file)
    task = task_of(albert_config)
    config = common_flags.finetune_config(albert_config, eval_batch_size=FLAGS.predict_batch_size)
    if FLAGS.do_train:
        config = with_steps(config, task)
    is_scored = FLAGS.do_predict and bool(task.dev_splits)
    if FLAGS.do_predict and not is_scored:
        _log.info("%s has no answers: nothing is scored.", FLAGS.predict_file)
    common_flags.run_engine(task, config, is_scored)


def run():
    """Runs the command line."""
    define_flags()
    common_flags.run(main)


if __name__ == "__main__":
    run()
