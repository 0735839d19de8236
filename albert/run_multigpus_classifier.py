r"""Fine-tunes ALBERT on a GLUE task, or a task of your own, on one or many GPUs.

Evaluates every checkpoint on the dev set and keeps the best one, with which
--do_predict predicts the test set. The same command resumes a stopped run.

    python -m albert.run_multigpus_classifier --do_train --do_eval --recipe \
        --task_name=RTE --data_dir=glue_data --output_dir=albert_output/RTE \
        --albert_config_file=albert_base_v2/albert_config.json \
        --init_checkpoint=albert_base_v2/model.ckpt-best \
        --vocab_file=30k-clean.vocab --spm_model_file=30k-clean.model

With --train_file, --validation_file and --test_file in place of --task_name
and --data_dir it reads your own data: CSV, TSV, JSON Lines or Parquet.
"""

from albert.cli import quiet

if __name__ == "__main__":
    quiet.quiet_start()

import os
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING

from absl import flags

from albert.cli import own_files, runner, shared_flags
from albert.cli.flag_groups import DATA, TRAINING
from albert.cli.options import check_file, check_folder, read_options, setting_values
from albert.common.errors import UsageError
from albert.glue.columns import NAME, TASK_TYPES
from albert.glue.files import cannot_read
from albert.glue.table import GLUE_ROWS, OWN_TASKS, check_task_name

if TYPE_CHECKING:
    from albert.engine.task import Task
    from albert.modeling import AlbertConfig


_ABOUT_FILES = ("text_column", "text_pair_column", "label_column", "label_separator", "task_type")


def define_flags() -> None:
    """Defines the flags of this runner."""
    flags.DEFINE_string(
        "task_name", None, "GLUE task, such as CoLA, or one of your own.", module_name=DATA
    )
    _define_files()
    flags.DEFINE_integer(
        "max_seq_length",
        512,
        "Longest sequence in tokens; longer ones are cut.",
        lower_bound=1,
        module_name=DATA,
    )
    shared_flags.define(has_dev_set=True)
    shared_flags.define_albert_dropout(0.0)
    shared_flags.define_dropout("classifier_dropout_prob", 0.1, "Dropout before the classifier.")
    flags.DEFINE_string(
        "class_weights",
        None,
        "Weights in the training loss: balanced, where a rare label weighs more, or a JSON file "
        "{label: weight}.",
        module_name=TRAINING,
    )
    flags.DEFINE_float(
        "label_smoothing",
        0.0,
        "Share of the target in the training loss that is spread over all labels.",
        lower_bound=0.0,
        upper_bound=0.99,
        module_name=TRAINING,
    )


def _define_files() -> None:
    own_files.define(".csv, .tsv, .jsonl or .parquet")
    for name, meaning in (
        ("text_column", "Column of the text (default: one of a usual name)."),
        ("text_pair_column", "Column of a second text, for pairs."),
    ):
        flags.DEFINE_string(name, None, meaning, module_name=DATA)
    flags.DEFINE_list(
        "label_column",
        [],
        "Column of the label (default: one of a usual name), or several, with 0 or 1 in each.",
        module_name=DATA,
    )
    flags.DEFINE_string(
        "label_separator", None, "Text between the labels of a row with several.", module_name=DATA
    )
    flags.DEFINE_enum(
        "task_type",
        None,
        TASK_TYPES,
        "What labels are (default: told from the labels in --train_file).",
        module_name=DATA,
    )


def task_of(options: SimpleNamespace, albert_config: "AlbertConfig") -> "Task":
    """Returns the ClassifierTask that the options describe."""
    from albert.classifier_utils import make_task
    from albert.cli.finetune import tokenizer_of
    from albert.glue.classification import TrainingLoss
    from albert.glue.own_files import FileSettings, FileTask

    common = (
        tokenizer_of(options, albert_config),
        options.max_seq_length,
        options.classifier_dropout_prob,
        TrainingLoss(options.class_weights, options.label_smoothing),
    )
    if not own_files.are_given(options):
        task = make_task(options.task_name, options.data_dir, *common)
        if options.best_metric:
            task.choose_best_by(options.best_metric, task.metric_names())
        return task
    return FileTask(
        own_files.split_files(options),
        FileSettings(**setting_values(FileSettings._fields, options)),
        own_files.recorded_settings(options),
        (options.task_name or NAME).lower(),
        "",
        *common,
    )


def check_files(options: SimpleNamespace) -> None:
    """Raises UsageError unless the data files that the options need are there."""
    name = options.task_name
    if name and not re.fullmatch(r"[\w.-]+", name):
        raise UsageError(
            "<task_name> names files: use letters, digits and any of . _ - alone.", task_name=name
        )
    if name and name.lower() in (*GLUE_ROWS, *OWN_TASKS):
        raise UsageError(
            "<task_name> names a task with data of its own; leave it out, or choose another name "
            "for your files.",
            task_name=name,
        )
    own_files.check(options)


def check_data(task_name: str, options: SimpleNamespace) -> None:
    """Raises UsageError unless the files of a GLUE task that the options need are there."""
    check_folder("data_dir", options.data_dir)
    for split, file in GLUE_ROWS[task_name].splits.items():
        labelled = "do_eval" if split.startswith("dev") else "do_train"
        switch = "do_predict" if file.submission else labelled
        if getattr(options, switch) and not file.is_optional:
            path = file.file_in(options.data_dir)
            try:
                os.stat(path)
            except OSError as error:
                raise cannot_read(path, error) from error


def main() -> None:
    """Does what --do_train, --do_eval and --do_predict ask for."""
    name = flags.FLAGS.task_name
    task_name = (name or "").lower()
    if own_files.are_given(flags.FLAGS):
        options = read_options(task_name or NAME)
        check_files(options)
    else:
        if name:
            check_task_name(name)
        elif not flags.FLAGS.data_dir:
            raise UsageError("--train_file, or --task_name and --data_dir, is required.")
        for flag in _ABOUT_FILES:
            if flags.FLAGS[flag].value:
                raise UsageError(f"--{flag} is for --train_file, --validation_file, --test_file.")
        options = read_options(task_name, required=("data_dir", "task_name"))
        if task_name in GLUE_ROWS:  # a task of your own may do without the folder
            check_data(task_name, options)
    if options.class_weights != "balanced":
        check_file("class_weights", options.class_weights)
    # TensorFlow takes seconds to import: mistakes on the command line have been found by now.
    from albert.cli import finetune

    finetune.run(task_of, options)


def run() -> None:
    """Runs the command line; scripts that register tasks of their own call it at their end."""
    define_flags()
    runner.run(main, __doc__)


if __name__ == "__main__":
    run()
