"""Fine-tunes ALBERT on a GLUE task, on one or many GPUs: flags -> task -> engine."""

from albert import quiet

if __name__ == "__main__":
    quiet.quiet_tensorflow()

from absl import flags

from albert import common_flags, modeling
from albert.classifier_utils import make_task
from albert.errors import UsageError

FLAGS = flags.FLAGS


def define_flags():
    """Defines the flags of this runner."""
    common_flags.define()
    flags.DEFINE_string("task_name", None, "GLUE task, such as CoLA, or one of your own.")
    flags.DEFINE_integer("max_seq_length", 512, "Longest sequence in tokens; longer ones are cut.")
    flags.DEFINE_bool("do_eval", False, "Evaluate every checkpoint on the dev set.")
    flags.DEFINE_integer("eval_batch_size", 8, "Examples per evaluation batch of a device.")
    flags.DEFINE_integer("train_step", 1000, "Updates to train for.")
    flags.DEFINE_integer("warmup_step", 0, "Updates of linear learning rate warm-up.")
    flags.DEFINE_float(
        "albert_dropout_prob",
        0.0,
        "Dropout inside ALBERT, in place of the configuration's.",
        lower_bound=0.0,
        upper_bound=0.99,
    )
    flags.DEFINE_float(
        "classifier_dropout_prob",
        0.1,
        "Dropout before the classifier.",
        lower_bound=0.0,
        upper_bound=0.99,
    )


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
    if not (FLAGS.do_train or FLAGS.do_eval or FLAGS.do_predict):
        raise UsageError("Give at least one of --do_train, --do_eval and --do_predict.")
    common_flags.check()
    albert_config = modeling.AlbertConfig.from_json_file(FLAGS.albert_config_file)
    albert_config.hidden_dropout_prob = FLAGS.albert_dropout_prob
    albert_config.attention_probs_dropout_prob = FLAGS.albert_dropout_prob
    config = common_flags.finetune_config(
        albert_config,
        eval_batch_size=FLAGS.eval_batch_size,
        train_steps=FLAGS.train_step,
        warmup_steps=FLAGS.warmup_step,
    )
    common_flags.run_engine(task_of(albert_config), config, is_scored=FLAGS.do_eval)


def run():
    """Runs the command line; scripts that register tasks of their own call it at their end."""
    define_flags()
    common_flags.run(main)


if __name__ == "__main__":
    run()
