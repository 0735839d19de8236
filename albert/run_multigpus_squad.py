r"""Fine-tunes ALBERT on SQuAD 1.1 or 2.0 on one or many GPUs.

Scores every checkpoint on --predict_file if that has answers, keeps the best
one and predicts the file with it. The same command resumes a stopped run.

    python -m albert.run_multigpus_squad --do_train --do_predict --recipe \
        --squad_version=2.0 --train_file=squad_data/train-v2.0.json \
        --predict_file=squad_data/dev-v2.0.json \
        --output_dir=albert_output/SQuAD2.0 \
        --albert_config_file=albert_base_v2/albert_config.json \
        --init_checkpoint=albert_base_v2/model.ckpt-best \
        --vocab_file=30k-clean.vocab --spm_model_file=30k-clean.model
"""

from albert.cli import quiet

if __name__ == "__main__":
    quiet.quiet_start()

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING

from absl import flags

from albert.cli import runner, shared_flags
from albert.cli.flag_groups import DATA, PREDICTION, WITHOUT_EFFECT
from albert.cli.options import check_file, read_options, setting_values
from albert.common.errors import UsageError

if TYPE_CHECKING:
    from albert.engine.task import Task
    from albert.modeling import AlbertConfig

VERSIONS = ("1.1", "2.0")  # the keys of squad_utils.VERSIONS
# {setting: the one whose flag sets it, too}: what is scored is what is predicted.
_SAME_FLAG = {"eval_batch_size": "predict_batch_size"}

_log = logging.getLogger("albert.run_multigpus_squad")  # not __main__


def define_flags() -> None:
    """Defines the flags of this runner."""
    _define_data()
    shared_flags.define()
    shared_flags.define_dropout(
        "dropout_prob", 0.1, "Dropout in the head that decides if there is an answer (2.0)."
    )
    for name, default, meaning in (
        ("n_best_size", 20, "Answers listed in nbest_predictions.json."),
        ("max_answer_length", 30, "Longest answer in tokens."),
        ("start_n_top", 5, "Start positions tried in each window (2.0)."),
        ("end_n_top", 5, "End positions tried for each of them (2.0)."),
    ):
        flags.DEFINE_integer(name, default, meaning, lower_bound=1, module_name=PREDICTION)
    # The original keeps features in these files; here their names depend on what they hold.
    for name in ("train_feature_file", "predict_feature_file", "predict_feature_left_file"):
        shared_flags.define_without_effect(name, "--cached_dir keeps the features.")
    shared_flags.define_without_effect("data_dir", "--train_file and --predict_file are read.")
    flags.DEFINE_integer(
        "eval_batch_size", None, "--predict_batch_size is used.", module_name=WITHOUT_EFFECT
    )


def _define_data() -> None:
    flags.DEFINE_enum(
        "squad_version", "1.1", VERSIONS, "Version of the data and of the head.", module_name=DATA
    )
    flags.DEFINE_string("train_file", None, "SQuAD JSON to train on.", module_name=DATA)
    flags.DEFINE_string(
        "predict_file", None, "SQuAD JSON to predict, and to score on.", module_name=DATA
    )
    for name, default, meaning in (
        ("max_seq_length", 384, "Longest window in tokens, question included."),
        ("doc_stride", 128, "Tokens from the start of a window to the start of the next."),
        ("max_query_length", 64, "Longest question in tokens; the rest is cut."),
    ):
        flags.DEFINE_integer(name, default, meaning, lower_bound=1, module_name=DATA)


def task_of(options: SimpleNamespace, albert_config: "AlbertConfig") -> "Task":
    """Returns the SquadTask that the options describe."""
    from albert.cli.finetune import tokenizer_of
    from albert.squad_utils import SquadSettings, SquadTask

    task = SquadTask(
        tokenizer_of(options, albert_config),
        SquadSettings(**setting_values(SquadSettings._fields, options)),
        options.train_file if options.do_train else None,
        options.predict_file if options.do_predict else None,
    )
    if options.do_predict and not task.dev_splits:
        _log.info("%s has no answers: nothing is scored.", options.predict_file)
    return task


def main() -> None:
    """Does what --do_train and --do_predict ask for."""
    options = read_options(f"squad{flags.FLAGS.squad_version}")
    for switch, name in (("do_train", "train_file"), ("do_predict", "predict_file")):
        if getattr(options, switch):
            if not getattr(options, name):
                raise UsageError(f"--{name} is required by --{switch}.")
            check_file(name, getattr(options, name))
    for setting, other in _SAME_FLAG.items():
        setattr(options, setting, getattr(options, other))
    # TensorFlow takes seconds to import: mistakes on the command line have been found by now.
    from albert.cli import finetune

    finetune.run(task_of, options)


def run() -> None:
    """Runs the command line."""
    define_flags()
    runner.run(main, __doc__, _SAME_FLAG)


if __name__ == "__main__":
    run()
