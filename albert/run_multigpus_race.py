r"""Fine-tunes ALBERT on RACE, multiple-choice questions, on one or many GPUs.

Evaluates every checkpoint on the dev set and keeps the best one, with which
--do_predict predicts the test set. The same command resumes a stopped run.

    python -m albert.run_multigpus_race --do_train --do_eval --recipe \
        --data_dir=race_data --output_dir=albert_output/RACE \
        --albert_config_file=albert_base_v2/albert_config.json \
        --init_checkpoint=albert_base_v2/model.ckpt-best \
        --vocab_file=30k-clean.vocab --spm_model_file=30k-clean.model
"""

from albert.cli import quiet

if __name__ == "__main__":
    quiet.quiet_start()

from types import SimpleNamespace
from typing import TYPE_CHECKING

from absl import flags

from albert.cli import runner, shared_flags
from albert.cli.flag_groups import DATA, RESULTS
from albert.cli.options import check_folder, read_options, setting_values

if TYPE_CHECKING:
    from albert.engine.task import Task
    from albert.modeling import AlbertConfig


def define_flags() -> None:
    """Defines the flags of this runner."""
    shared_flags.define(has_dev_set=True)
    shared_flags.define_albert_dropout(None)
    flags.DEFINE_alias(  # the original's name
        "num_keep_checkpoint", "keep_checkpoint_max", module_name=RESULTS
    )
    flags.DEFINE_integer(
        "max_seq_length",
        512,
        "Longest sequence in tokens; the article is cut.",
        lower_bound=1,
        module_name=DATA,
    )
    flags.DEFINE_integer(
        "max_qa_length",
        128,
        "Longest question with option in tokens; the last ones are kept.",
        lower_bound=1,
        module_name=DATA,
    )
    flags.DEFINE_bool("high_only", False, "Use only the high school articles.", module_name=DATA)
    flags.DEFINE_bool(
        "middle_only", False, "Use only the middle school articles.", module_name=DATA
    )
    shared_flags.define_dropout("dropout_prob", 0.1, "Dropout before the scores of the options.")
    # The original keeps features in these files; here their names depend on what they hold.
    for split in ("train", "eval", "predict"):
        shared_flags.define_without_effect(
            f"{split}_feature_file", "--cached_dir keeps the features."
        )
    shared_flags.define_without_effect("predict_file", "--cached_dir keeps the features.")


def task_of(options: SimpleNamespace, albert_config: "AlbertConfig") -> "Task":
    """Returns the RaceTask that the options describe."""
    from albert.cli.finetune import tokenizer_of
    from albert.race_utils import RaceSettings, RaceTask

    settings = RaceSettings(**setting_values(RaceSettings._fields, options))
    return RaceTask(options.data_dir, tokenizer_of(options, albert_config), settings)


def main() -> None:
    """Does what --do_train, --do_eval and --do_predict ask for."""
    options = read_options("race", required=("data_dir",))
    check_folder("data_dir", options.data_dir)
    # TensorFlow takes seconds to import: mistakes on the command line have been found by now.
    from albert.cli import finetune

    finetune.run(task_of, options)


def run() -> None:
    """Runs the command line."""
    define_flags()
    runner.run(main, __doc__)


if __name__ == "__main__":
    run()
