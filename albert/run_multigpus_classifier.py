"""Fine-tunes ALBERT on a GLUE task, on one or many GPUs: flags -> task -> engine."""

from albert.cli import quiet

if __name__ == "__main__":
    quiet.quiet_start()

from absl import flags

from albert.classifier_utils import make_task
from albert.cli import common_flags
from albert.common.errors import UsageError

FLAGS = flags.FLAGS


def define_flags():
    """Defines the flags of this runner."""
    common_flags.define()
    flags.DEFINE_string("task_name", None, "GLUE task, such as CoLA, or one of your own.")
    flags.DEFINE_integer("max_seq_length", 512, "Longest sequence in tokens; longer ones are cut.")
    common_flags.define_dev_set_training(albert_dropout_prob=0.0)
    common_flags.define_dropout("classifier_dropout_prob", 0.1, "Dropout before the classifier.")
    flags.adopt_module_key_flags(common_flags)  # --help shows them too


def task_of(albert_config):
    """Returns the ClassifierTask that the flags describe."""
    for name in ("data_dir", "task_name"):
        if not getattr(FLAGS, name):
            raise UsageError(f"--{name} is required.")
    tokenizer = common_flags.make_tokenizer(albert_config, FLAGS.max_seq_length)
    return make_task(
        FLAGS.task_name,
        FLAGS.data_dir,
        tokenizer,
        FLAGS.max_seq_length,
        FLAGS.classifier_dropout_prob,
    )


def main():
    """Does what --do_train, --do_eval and --do_predict ask for."""
    common_flags.run_dev_set_training(task_of, (FLAGS.task_name or "").lower())


def run():
    """Runs the command line; scripts that register tasks of their own call it at their end."""
    define_flags()
    common_flags.run(main)


if __name__ == "__main__":
    run()
