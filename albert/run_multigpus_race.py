"""Fine-tunes ALBERT on RACE, on one or many GPUs: flags -> task -> engine."""

from albert.cli import quiet

if __name__ == "__main__":
    quiet.quiet_start()

from absl import flags

from albert.cli import common_flags
from albert.common.errors import UsageError
from albert.race_utils import RaceSettings, RaceTask

FLAGS = flags.FLAGS

# Flags of the original that say where to keep features: `cached_dir` does, under names that tell
# what was made of what.
_WITHOUT_EFFECT = (
    "train_feature_file",
    "eval_feature_file",
    "predict_feature_file",
    "predict_file",
)


def define_flags():
    """Defines the flags of this runner."""
    common_flags.define()
    common_flags.define_dev_set_training(albert_dropout_prob=None)
    flags.DEFINE_alias("num_keep_checkpoint", "keep_checkpoint_max")  # the original's name
    flags.DEFINE_integer("max_seq_length", 512, "Longest sequence in tokens; the article is cut.")
    flags.DEFINE_integer(
        "max_qa_length", 128, "Longest question with option in tokens; the last ones are kept."
    )
    flags.DEFINE_bool("high_only", False, "Take the high school passages alone.")
    flags.DEFINE_bool("middle_only", False, "Take the middle school passages alone.")
    common_flags.define_dropout("dropout_prob", 0.1, "Dropout before the scores of the options.")
    for name in _WITHOUT_EFFECT:
        flags.DEFINE_string(name, None, "Without effect: --cached_dir keeps the features.")
    flags.adopt_module_key_flags(common_flags)  # --help shows them too


def task_of(albert_config):
    """Returns the RaceTask that the flags describe."""
    if not FLAGS.data_dir:
        raise UsageError("--data_dir is required.")
    tokenizer = common_flags.make_tokenizer(albert_config, FLAGS.max_seq_length)
    settings = RaceSettings(**{name: getattr(FLAGS, name) for name in RaceSettings._fields})
    return RaceTask(FLAGS.data_dir, tokenizer, settings)


def main():
    """Does what --do_train, --do_eval and --do_predict ask for."""
    common_flags.run_dev_set_training(task_of, "race", _WITHOUT_EFFECT)


def run():
    """Runs the command line."""
    define_flags()
    common_flags.run(main)


if __name__ == "__main__":
    run()
