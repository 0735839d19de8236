"""Opens what a run has left in its output_dir: settings, task, vocabulary, best checkpoint."""

import os
from typing import Any, Dict, NamedTuple, Optional

from albert.cli.options import CONFIG, SPM_MODEL, VOCABULARY
from albert.common import tables
from albert.common.errors import UsageError


class TrainedModel(NamedTuple):
    """A model that a run has trained.

    Attributes:
        task: for loose input.
        settings: what the run has recorded.
        albert_config: the architecture.
        tokenizer: the FullTokenizer of the run.
        vocabulary: its file.
        checkpoint: prefix of the best checkpoint, or else the latest.
        metrics: those of the checkpoint on its dev data, for thresholds; None if there are none.
    """

    task: Any
    settings: Dict[str, Any]
    albert_config: Any
    tokenizer: Any
    vocabulary: str
    checkpoint: str
    metrics: Optional[Dict[str, float]]


def check(model_dir: str) -> None:
    """Raises UsageError unless a folder holds the files of a run besides its checkpoints."""
    for names in (("run.json",), (CONFIG,), (SPM_MODEL, VOCABULARY)):
        if not any(os.path.exists(os.path.join(model_dir, name)) for name in names):
            raise UsageError(
                f"<model_dir> holds no {' or '.join(names)}: it must be a run's output_dir.",
                model_dir=model_dir,
            )


def load(model_dir: str) -> TrainedModel:
    """Returns the best model in the output_dir of a run, or else its latest.

    Raises:
        UsageError: the folder holds no whole model.
    """
    check(model_dir)
    from albert import modeling
    from albert.engine import checkpoints, results, run_identity
    from albert.tokenization import FullTokenizer

    settings = run_identity.recorded_settings(model_dir)
    checkpoint = checkpoints.best(model_dir) or checkpoints.latest(model_dir)
    if not checkpoint:
        raise UsageError("<model_dir> holds no checkpoint.", model_dir=model_dir)
    paths = {
        name: os.path.join(model_dir, name)
        for name in (SPM_MODEL, VOCABULARY)
        if os.path.exists(os.path.join(model_dir, name))
    }
    tokenizer = FullTokenizer(
        paths.get(VOCABULARY), settings.get("do_lower_case", True), paths.get(SPM_MODEL)
    )
    vocabulary = next(iter(paths.values()))
    if tokenizer.fingerprint()["vocabulary"] != settings.get("vocabulary"):
        raise UsageError(f"{vocabulary} is not the vocabulary that the model was trained with.")
    albert_config = modeling.AlbertConfig.from_json_file(os.path.join(model_dir, CONFIG))
    task = _task_of(settings, tokenizer)
    record = results.EvaluationRecord(
        model_dir, task.best_metric, greater_is_better=task.greater_is_better
    )
    metrics = record.metrics_by_step().get(checkpoints.read_step(checkpoint))
    return TrainedModel(task, settings, albert_config, tokenizer, vocabulary, checkpoint, metrics)


def _task_of(settings: Dict[str, Any], tokenizer: Any) -> Any:
    """Returns the task of a run, for loose input."""
    from albert.glue.split_files import SplitFiles

    if "squad_version" in settings:
        from albert.squad_utils import SquadSettings, SquadTask

        return SquadTask(
            tokenizer, SquadSettings(**{name: settings[name] for name in SquadSettings._fields})
        )
    if "max_qa_length" in settings:
        from albert.race_utils import RaceSettings, RaceTask

        return RaceTask(
            "", tokenizer, RaceSettings(**{name: settings[name] for name in RaceSettings._fields})
        )
    if tables.TAGS in settings:
        from albert.tagging_utils import TaggingSettings, TaggingTask

        about = TaggingSettings(settings["max_seq_length"])
        return TaggingTask(SplitFiles(), settings, tokenizer, about)
    name, max_seq_length = settings["task_name"], settings["max_seq_length"]
    from albert.glue.own_files import FileSettings, FileTask

    return FileTask(SplitFiles(), FileSettings(), settings, name, "", tokenizer, max_seq_length)
