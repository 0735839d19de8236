"""Opens a model that a run has left in its output_dir, or that was released."""

import os
from typing import Any, Dict, NamedTuple, Optional

from albert.cli.options import CONFIG, SPM_MODEL, VOCABULARY
from albert.common import json_files, tables
from albert.common.errors import UsageError
from albert.engine.task import RECORD

_RELEASED_SPM_MODEL = "30k-clean.model"  # as the archives of released models call it
_OF_PRETRAINING = "masked_lm_prob"  # a setting that no other run has


class TrainedModel(NamedTuple):
    """A model that a run has trained, or one that is released.

    Attributes:
        albert_config: the architecture.
        checkpoint: prefix of the best checkpoint, or else the latest.
        tokenizer: the FullTokenizer; None if a released model has no vocabulary beside it.
        vocabulary: the tokenizer's file.
        task: for loose input; None of a model that is only pre-trained.
        metrics: those of the checkpoint on its dev data, for thresholds; None if there are none.
    """

    albert_config: Any
    checkpoint: str
    tokenizer: Any = None
    vocabulary: Optional[str] = None
    task: Any = None
    metrics: Optional[Dict[str, float]] = None


def is_run(model_dir: str) -> bool:
    """Returns whether a folder is the output_dir of a run."""
    return os.path.exists(os.path.join(model_dir, RECORD))


def is_pretrained(model_dir: str) -> bool:
    """Returns whether a folder is the output_dir of pre-training, so that its model has no task.

    Raises:
        UsageError: it is that of a run, whose record cannot be read.
    """
    if not is_run(model_dir):
        return False
    settings = json_files.load_json(os.path.join(model_dir, RECORD)).get("settings")
    return isinstance(settings, dict) and _OF_PRETRAINING in settings


def check(model_dir: str) -> None:
    """Raises UsageError unless a folder holds the files of a run besides its checkpoints."""
    for names in ((RECORD,), (CONFIG,), (SPM_MODEL, VOCABULARY)):
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
    from albert.engine import checkpoints, results, run_identity

    settings = {"do_lower_case": True, **run_identity.recorded_settings(model_dir)}
    if _OF_PRETRAINING in settings:
        raise UsageError(
            "<model_dir> holds a pre-trained model, which has no task yet: fine-tune it, with "
            f"--init_checkpoint={os.path.join(model_dir, 'model.ckpt-best')}.",
            model_dir=model_dir,
        )
    model = _open(model_dir, _value(settings, "do_lower_case", bool))
    positions = model.albert_config.max_position_embeddings
    if not 0 < _value(settings, "max_seq_length", int) <= positions:
        raise UsageError(
            f"{RECORD}: max_seq_length {settings['max_seq_length']} of the run must be from 1 to "
            f"{positions}, the positions of the model."
        )
    if model.tokenizer.fingerprint()["vocabulary"] != settings.get("vocabulary"):
        raise UsageError(
            f"{model.vocabulary} is not the vocabulary that the model was trained with."
        )
    task = _task_of(settings, model.tokenizer)
    record = results.EvaluationRecord(
        model_dir, task.best_metric, greater_is_better=task.greater_is_better
    )
    metrics = record.metrics_by_step().get(checkpoints.read_step(model.checkpoint))
    return model._replace(task=task, metrics=metrics)


def load_without_task(model_dir: str) -> TrainedModel:
    """Returns the model in a folder that no run but one of pre-training has written.

    Raises:
        UsageError: the folder holds no configuration, or no checkpoint.
    """
    if not os.path.exists(os.path.join(model_dir, CONFIG)):
        raise UsageError(
            f"<model_dir> holds no {CONFIG}: it must be the folder of a model.", model_dir=model_dir
        )
    from albert.engine import run_identity

    settings = {"do_lower_case": True, **run_identity.recorded_settings(model_dir)}
    return _open(model_dir, _value(settings, "do_lower_case", bool))


def _open(model_dir: str, do_lower_case: bool) -> TrainedModel:
    from albert import modeling
    from albert.engine import checkpoints
    from albert.tokenization import FullTokenizer

    checkpoint = checkpoints.best(model_dir) or checkpoints.latest(model_dir)
    if not checkpoint:
        raise UsageError("<model_dir> holds no checkpoint.", model_dir=model_dir)
    albert_config = modeling.AlbertConfig.from_json_file(os.path.join(model_dir, CONFIG))
    paths = [os.path.join(model_dir, name) for name in (SPM_MODEL, _RELEASED_SPM_MODEL, VOCABULARY)]
    vocabulary = next(filter(os.path.exists, paths), None)
    if vocabulary is None:
        return TrainedModel(albert_config, checkpoint)
    files = (vocabulary, None) if vocabulary == paths[-1] else (None, vocabulary)
    tokenizer = FullTokenizer(files[0], do_lower_case, files[1])
    return TrainedModel(albert_config, checkpoint, tokenizer, vocabulary)


def _task_of(settings: Dict[str, Any], tokenizer: Any) -> Any:
    """Returns the task of a run, for loose input."""
    from albert.glue.split_files import SplitFiles

    if "squad_version" in settings:
        from albert.squad_utils import SquadSettings, SquadTask

        return SquadTask(tokenizer, _recorded(SquadSettings, settings))
    if "max_qa_length" in settings:
        from albert.race_utils import RaceSettings, RaceTask

        return RaceTask("", tokenizer, _recorded(RaceSettings, settings))
    max_seq_length = _value(settings, "max_seq_length", int)
    if tables.TAGS in settings:
        from albert.tagging_utils import TaggingSettings, TaggingTask

        return TaggingTask(SplitFiles(), settings, tokenizer, TaggingSettings(max_seq_length))
    from albert.glue.own_files import FileSettings, FileTask

    name = _value(settings, "task_name", str)
    return FileTask(SplitFiles(), FileSettings(), settings, name, "", tokenizer, max_seq_length)


def _recorded(kind: Any, settings: Dict[str, Any]) -> Any:
    """Returns the NamedTuple of settings that a run has recorded, each of its default's type."""
    defaults = kind._field_defaults.items()
    return kind(**{name: _value(settings, name, type(value)) for name, value in defaults})


def _value(settings: Dict[str, Any], name: str, expected: type) -> Any:
    return json_files.value_of(settings, name, expected, RECORD, "the run")
