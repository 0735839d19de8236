"""The record of the run in an output_dir: made when training starts, checked from then on."""

import contextlib
import logging
import os
import re
from typing import Any, Dict, Iterable, Mapping, Optional

from albert.common import files, json_files
from albert.common.errors import UsageError
from albert.engine import checkpoints
from albert.engine.config import PATHS, FinetuneConfig
from albert.engine.task import RECORD as NAME
from albert.engine.task import Change, DataSource, Setting, Task, hash_of, settings_of

_GROUPS = ("settings", "options", "data", "results")
# What runs leave in an output_dir besides what the record lists, but for the lock and for the
# feature files, which other runs can use.
_LEFT_BY_RUNS = re.compile(
    r"(damaged-)?model\.ckpt-(\d+|best)\.(index|meta|data-\d{5}-of-\d{5})"
    r"|\.(incoming|outgoing)-best\..*|checkpoint|graph\.pbtxt"
    r"|(eval/)?events\.out\.tfevents\..*"
    r"|(predictions_[^/]*/)?(eval_results\.(json|txt)|dev_predictions\.jsonl)"
    r"|learning_curve\.png|report\.html|run\.json"
)

_log = logging.getLogger(__name__)


class Run:
    """The run of a task in the output_dir of a configuration.

    Args:
        options: those of the command, to be recorded.
        model_files: {name: path} of files to be copied into output_dir, so that it has all that the
            model needs.
    """

    def __init__(
        self,
        task: Task,
        config: FinetuneConfig,
        options: Optional[Mapping[str, Any]] = None,
        model_files: Optional[Mapping[str, str]] = None,
    ) -> None:
        self._model_files = model_files or {}
        self._task = task
        self._config = config
        self._options = options or {}
        self._output_dir = config.output_dir

    def check(self, is_training: bool) -> None:
        """Raises UsageError if output_dir holds another run."""
        check(self._output_dir, self._settings(), is_training)

    def warn_of_changes(self) -> None:
        """Warns of settings that alter evaluation and prediction, as `warn_of_changes` does."""
        warn_of_changes(self._output_dir, self._settings(), is_training=False)

    def check_checkpoint(self, setting: str) -> None:
        """Raises UsageError if the checkpoint of a setting is that of another run."""
        check(
            os.path.dirname(getattr(self._config, setting)),
            self._settings(),
            is_training=False,
            refusal=f"<{setting}> is of another run",
        )

    def claim(self, kinds: Iterable[str]) -> None:
        """Records the run when it trains, and its data of some kinds as those of its results.

        Args:
            kinds: of "dev" and "test".

        Raises:
            UsageError: the folder holds another run, or a file that a copy would replace.
        """
        data = {kind: self._contents(kind) for kind in kinds}
        targets = self._files_to_copy()
        claim(self._output_dir, self._settings(), self._options, data)
        for target, path in targets.items():
            files.copy(path, target)
        self.note_results(targets)

    def _files_to_copy(self):
        """Returns {path in output_dir: path} of the model's files that are not there yet."""
        recorded = _read(self._output_dir)["results"]
        targets = {}
        for name, path in self._model_files.items():
            target = os.path.join(self._output_dir, name)
            if os.path.exists(target):
                if files.sha256(target) == files.sha256(path):
                    continue
                if name not in recorded:
                    raise UsageError(
                        f"<output_dir> holds another {name}, which is not of a run; remove it or "
                        "use another folder.",
                        output_dir=self._output_dir,
                    )
            targets[target] = path
        return targets

    def owns_data(self, kind: str) -> bool:
        """Returns whether the results in output_dir are about the splits of a kind."""
        is_guest = self._task.name != self._task.model_name
        return not is_guest and owns_data(self._output_dir, kind, self._contents(kind))

    def folder_of_results(self, kind: str) -> str:
        """Returns the folder for results on the splits of a kind, which exists.

        Results with eval_checkpoint have a folder of their own, as those on other data have.

        Raises:
            UsageError: it cannot be made.
        """
        folder = self._config.predict_output_dir
        if folder:
            try:
                os.makedirs(folder, exist_ok=True)
            except OSError as error:
                raise UsageError(
                    f"<predict_output_dir>: {error.strerror}.", predict_output_dir=folder
                ) from error
        elif self._config.eval_checkpoint:
            name = os.path.basename(self._config.eval_checkpoint)
            content = checkpoints.content_hash(self._config.eval_checkpoint)
            source = DataSource(name, hash_of([content, self._contents(kind)]))
            folder = folder_of_other_data(self._output_dir, kind, source)
            _log.info("Results with %s go to %s.", self._config.eval_checkpoint, folder)
        elif self.owns_data(kind):
            folder = self._output_dir
        else:
            source = self._source(self._splits(kind)[0])
            folder = folder_of_other_data(self._output_dir, kind, source)
            _log.info("%s is not this run's own data: results go to %s.", source.name, folder)
        return folder

    def note_results(self, paths: Iterable[str]) -> None:
        """Records which of these files are in output_dir, so that `erase` knows them."""
        names = [os.path.relpath(path, self._output_dir) for path in paths]
        record = _read(self._output_dir)
        record["results"].update({name: "" for name in names if not name.startswith(os.pardir)})
        _write(self._output_dir, record)

    def _splits(self, kind):
        return {"dev": self._task.dev_splits, "test": self._task.test_splits}[kind]

    def _contents(self, kind):
        return {split: self._source(split).content for split in self._splits(kind)}

    def _source(self, split):
        """Returns the source of a split; a part of the data is other data than the whole."""
        source = self._task.source(split)
        limit = self._task.max_samples.get(split)
        if limit is None:
            return source
        return source._replace(content=hash_of([source.content, limit]))

    def shared_settings(self) -> Dict[str, Any]:
        """Returns {what it is: value} of all that the workers of a cluster must have in common."""
        settings = self._settings().items()
        return {setting.shown: setting.value for name, setting in settings if name not in PATHS}

    def _settings(self):
        """Returns {name: Setting} of all that the run depends on."""
        start = self._config.init_checkpoint
        content = checkpoints.content_hash(start) if start else None
        return {
            **self._config.run_settings(),
            **self._task.run_settings(),
            **settings_of({"task_name": self._task.model_name}, Change.REFUSED),
            **settings_of(
                {"init_checkpoint_content": content},
                Change.REFUSED_IN_TRAINING,
                "the content of <init_checkpoint>",
            ),
        }


def recorded_settings(output_dir: str) -> Dict[str, Any]:
    """Returns {name: value} of the settings of the run in a folder; {} if there is none."""
    return dict(_read(output_dir)["settings"])


def check(
    output_dir: str,
    settings: Mapping[str, Setting],
    is_training: bool,
    refusal: str = "<output_dir> holds another run",
) -> None:
    """Compares the settings of this start with the recorded ones, as each Setting.change says.

    Only settings that are both recorded and given (not None) are compared.

    Args:
        refusal: how the message of the UsageError begins.

    Raises:
        UsageError: the folder holds another run, or the record cannot be read.
    """
    recorded = _read(output_dir)["settings"]
    refused = {
        name: f"{setting.shown} was {recorded[name]!r} and is {setting.value!r}"
        for name, setting in _changed(recorded, settings).items()
        if setting.change.is_refused(is_training)
    }
    if refused:
        raise UsageError(
            f"{refusal}: {'; '.join(refused.values())}. "
            "Use another folder, or the same settings to go on.",
            **dict(
                dict.fromkeys(
                    ("albert_config_file", "init_checkpoint", "eval_checkpoint", *refused)
                ),
                output_dir=output_dir,
            ),
        )


def warn_of_changes(output_dir: str, settings: Mapping[str, Setting], is_training: bool) -> None:
    """Warns in one line of all changes that are allowed but alter the results; see `check`."""
    recorded = _read(output_dir)["settings"]
    warned = [
        f"{name} was {recorded[name]!r} and is {setting.value!r}"
        for name, setting in _changed(recorded, settings).items()
        if setting.change.is_warned(is_training)
    ]
    if warned:
        _log.warning("Changed since the last start of this run: %s.", "; ".join(warned))


def _changed(recorded: Dict[str, Any], settings: Mapping[str, Setting]) -> Dict[str, Setting]:
    return {
        name: setting
        for name, setting in settings.items()
        if setting.value is not None and recorded.get(name, setting.value) != setting.value
    }


def claim(
    output_dir: str,
    settings: Mapping[str, Setting],
    options: Mapping[str, Any],
    data: Mapping[str, Dict[str, str]],
) -> None:
    """Records the run that trains in output_dir, an existing folder.

    Args:
        options: of the command, for people and reports; they are not compared.
        data: {"dev": ..., "test": ...}, each {split: DataSource.content}, of the data that the
            results in output_dir are about; see `owns_data`.

    Raises:
        UsageError: the folder holds another run.
    """
    check(output_dir, settings, is_training=True)
    warn_of_changes(output_dir, settings, is_training=True)
    record = _read(output_dir)
    for name, setting in settings.items():
        record["settings"].setdefault(name, None)
        if setting.value is not None:
            record["settings"][name] = setting.value
    record["options"] = dict(options)
    record["data"].update(data)
    _write(output_dir, record)


def owns_data(output_dir: str, kind: str, contents: Mapping[str, str]) -> bool:
    """Returns whether the results in output_dir are about these data; the first ones are recorded.

    Args:
        kind: "dev" or "test".
        contents: {split: DataSource.content}.
    """
    record = _read(output_dir)
    recorded = record["data"].setdefault(kind, dict(contents))
    if not all(contents.get(split) == content for split, content in recorded.items()):
        return False
    record["data"][kind] = dict(contents)  # a split may have been added
    _write(output_dir, record)
    return True


def folder_of_other_data(output_dir: str, kind: str, source: DataSource) -> str:
    """Returns the folder for results on data that are not the run's own, made now.

    It is called `predictions_<name>`; where other data of that kind and name have been there
    before, the beginning of their hash is added.

    Args:
        kind: "dev" or "test".
    """
    record = _read(output_dir)
    folder = f"predictions_{source.name}"
    contents = record["data"].setdefault(folder, {})
    if contents.setdefault(kind, source.content) != source.content:
        folder += f"_{source.content[:8]}"
    os.makedirs(os.path.join(output_dir, folder), exist_ok=True)
    _write(output_dir, record)
    return os.path.join(output_dir, folder)


def erase(output_dir: str, kept: Iterable[str] = ()) -> int:
    """Deletes what runs have left in a folder, and no other file; returns the number of files.

    To be called while no other process writes there.

    Args:
        kept: paths of files that the next run reads.
    """
    recorded: Dict[str, Any] = {}
    with contextlib.suppress(UsageError):  # the record is damaged
        recorded = _read(output_dir)["results"]
    names = [
        os.path.relpath(os.path.join(folder, name), output_dir)
        for folder, _, names in os.walk(output_dir)
        for name in names
    ]
    spared = {os.path.realpath(path) for path in kept}
    erased = [
        name
        for name in names
        if (name in recorded or _LEFT_BY_RUNS.fullmatch(name))
        and os.path.realpath(os.path.join(output_dir, name)) not in spared
    ]
    for name in sorted(erased, key=lambda name: name == NAME):  # the record last
        os.remove(os.path.join(output_dir, name))
    for folder in {os.path.dirname(name) for name in erased} - {""}:
        with contextlib.suppress(OSError):  # it holds other files
            os.rmdir(os.path.join(output_dir, folder))
    return len(erased)


def _read(output_dir: str) -> Dict[str, Dict[str, Any]]:
    """Returns a record, {"settings": {...}, "options": {...}, "data": {...}, "results": {...}}.

    It is empty if there is none.

    Earlier releases kept the sizes of the model apart, or had other keys.
    """
    path = os.path.join(output_dir, NAME)
    if not os.path.exists(path):
        return {group: {} for group in _GROUPS}
    advice = "Use another <output_dir>."
    try:
        stored = json_files.load_json(path)
    except UsageError as error:
        raise UsageError(f"{error} {advice}", output_dir=None) from error
    if "settings" not in stored:
        stored = {"settings": {_setting_of_flag(key): stored[key] for key in stored}}
    record = {group: stored.get(group, {}) for group in (*_GROUPS, "sizes")}
    splits = record["data"].values() if isinstance(record["data"], dict) else [None]
    if not all(isinstance(value, dict) for value in (*record.values(), *splits)):
        raise UsageError(f"{path} is not the record of a run. {advice}", output_dir=None)
    record["settings"].update(record.pop("sizes"))
    if record["settings"]:
        record["settings"].setdefault("precision", "fp32")  # all that earlier releases had
    return record


def _setting_of_flag(key: str) -> str:
    """Returns `seed` for `--seed`, `hidden_size` for `hidden_size of --albert_config_file`."""
    suffix = " of --albert_config_file"
    return key[: -len(suffix)] if key.endswith(suffix) else key[2:]


def _write(output_dir: str, record: Dict[str, Any]) -> None:
    if record != _read(output_dir):
        json_files.write_json(os.path.join(output_dir, NAME), record)
