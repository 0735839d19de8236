r"""Fine-tunes ALBERT on the tags of tokens, such as names, on one or many GPUs.

Evaluates every checkpoint on the dev set and keeps the best one, with which
--do_predict predicts the test set. The same command resumes a stopped run.

    python -m albert.run_multigpus_tagging --do_train --do_eval --do_predict \
        --train_file=train.conll --validation_file=dev.conll \
        --test_file=test.conll --output_dir=albert_output/names \
        --albert_config_file=albert_base_v2/albert_config.json \
        --init_checkpoint=albert_base_v2/model.ckpt-best \
        --spm_model_file=30k-clean.model

Files are in columns, as those of CoNLL: a token a line, its tag in the last
column, an empty line after each sentence; or JSON Lines with "tokens" and
"tags". Tags are O and B-, I- (E-, S-) with a type, or plain ones.
"""

from albert.cli import quiet

if __name__ == "__main__":
    quiet.quiet_start()

from types import SimpleNamespace
from typing import TYPE_CHECKING

from absl import flags

from albert.cli import own_files, runner, shared_flags
from albert.cli.flag_groups import DATA
from albert.cli.options import read_options, setting_values
from albert.common.errors import UsageError

if TYPE_CHECKING:
    from albert.engine.task import Task
    from albert.modeling import AlbertConfig


def define_flags() -> None:
    """Defines the flags of this runner."""
    own_files.define(".jsonl or .parquet with tokens and tags; others in columns, as CoNLL")
    flags.DEFINE_integer(
        "max_seq_length",
        512,
        "Longest window in tokens; longer sentences have several, which overlap.",
        lower_bound=3,
        module_name=DATA,
    )
    shared_flags.define(has_dev_set=True)
    shared_flags.define_albert_dropout(0.0)
    shared_flags.define_dropout("classifier_dropout_prob", 0.1, "Dropout before the classifier.")


def task_of(options: SimpleNamespace, albert_config: "AlbertConfig") -> "Task":
    """Returns the TaggingTask that the options describe."""
    from albert.cli.finetune import tokenizer_of
    from albert.tagging_utils import TaggingSettings, TaggingTask

    return TaggingTask(
        own_files.split_files(options, "conll"),
        own_files.recorded_settings(options),
        tokenizer_of(options, albert_config),
        TaggingSettings(**setting_values(TaggingSettings._fields, options)),
    )


def main() -> None:
    """Does what --do_train, --do_eval and --do_predict ask for."""
    if not own_files.are_given(flags.FLAGS):
        raise UsageError("--train_file is required.")
    options = read_options("tagging")
    own_files.check(options)
    # TensorFlow takes seconds to import: mistakes on the command line have been found by now.
    from albert.cli import finetune

    finetune.run(task_of, options)


def run() -> None:
    """Runs the command line."""
    define_flags()
    runner.run(main, __doc__)


if __name__ == "__main__":
    run()
