"""SQuAD 1.1 and 2.0 as a task: its features, heads, answers and scores."""

import logging
import math
import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from albert.common import files, json_files, parallel
from albert.common.errors import UsageError
from albert.common.tables import Row, text_in
from albert.engine.task import (
    INPUT_IDS,
    Change,
    DataSource,
    Feature,
    ModelOutput,
    Predictions,
    Setting,
    Task,
    settings_of,
)
from albert.modeling import AlbertModel
from albert.squad import features as squad_features
from albert.squad.features import SquadWindow
from albert.squad.files import (
    SquadData,
    SquadParagraph,
    SquadQuestion,
    first_questions,
    read_squad,
    shown,
)
from albert.squad.versions import VERSIONS, QuestionRows, SquadResult, SquadSettings
from albert.text.alignment import AlignedTokens, encode_aligned
from albert.tokenization import FullTokenizer

_log = logging.getLogger(__name__)


class _ConvertedQuestion(NamedTuple):
    """A question with its windows; `aligned` holds all tokens of the context."""

    question: SquadQuestion
    context: str
    aligned: AlignedTokens
    windows: List[SquadWindow]


class SquadTask(Task):
    """Reading comprehension: the answer to a question is a span of a context, or there is none.

    The split to predict is also the one to evaluate, if its file has answers.

    Args:
        train_file: SQuAD JSON; None if nothing is trained.
        predict_file: SQuAD JSON; None if nothing is predicted.

    Raises:
        UsageError: a file cannot be read, or a setting is out of range.
    """

    best_metric = "f1"
    shown_metrics = ("f1", "exact_match", "exact", "HasAns_f1", "NoAns_f1")
    test_splits = ("predict",)
    input_columns = {"context": 1, "question": 1}
    num_segments = 2

    def __init__(
        self,
        tokenizer: FullTokenizer,
        settings: SquadSettings,
        train_file: Optional[str] = None,
        predict_file: Optional[str] = None,
    ) -> None:
        if settings.squad_version not in VERSIONS:
            raise UsageError(
                f"<squad_version> must be one of {', '.join(VERSIONS)}.",
                squad_version=settings.squad_version,
            )
        for name, value in settings._asdict().items():
            if isinstance(value, int) and value < 1:
                raise UsageError(f"<{name}> must be 1 or more.", **{name: value})
        self.name = f"squad{settings.squad_version}"
        self._tokenizer = tokenizer
        self._settings = settings
        self._version = VERSIONS[settings.squad_version](settings)
        self._paths = {"train": train_file, "predict": predict_file}
        self._data: Dict[str, SquadData] = {}
        for split, path in self._paths.items():
            if path:  # both are read now, so that a mistake in either is found before the work
                self._data[split] = _read(split, path, self._version.allows_impossible)
        self.dev_splits = (
            ("predict",) if predict_file and self._data_of("predict").has_answers else ()
        )

    def source(self, split: str) -> DataSource:
        """Returns the file, and its hash."""
        return DataSource.of(self._path(split), files.sha256(self._path(split)))

    def run_settings(self) -> Dict[str, Setting]:
        """Returns what the tokens depend on, and the SquadSettings."""
        inputs = dict(self._settings._asdict())
        dropout = {"dropout_prob": inputs.pop("dropout_prob")}
        version = {"squad_version": inputs.pop("squad_version")}
        return {
            **settings_of(self._tokenizer.fingerprint(), Change.REFUSED, "{} of the task"),
            **settings_of(version, Change.REFUSED),
            **settings_of(inputs, Change.WARNED),
            **settings_of(dropout, Change.WARNED_IN_TRAINING),
        }

    def settings(self) -> Dict[str, Any]:
        """Returns what to record beside the engine's settings: what scores depend on, too."""
        settings = self._settings._asdict()
        return {"task": f"SQuAD {settings.pop('squad_version')}", **settings}

    def fingerprint(self, split: str) -> Dict[str, Any]:
        """Returns everything that the features of a split depend on, as a dict for JSON."""
        names = ("squad_version", "max_seq_length", "doc_stride", "max_query_length")
        return {
            "task": self.name,
            "split": split,
            "data": files.sha256(self._path(split)),
            "tokenizer": self._tokenizer.fingerprint(),
            **{name: getattr(self._settings, name) for name in names},
        }

    def feature_spec(self) -> Dict[str, Feature]:
        """Returns {name: Feature} of a window.

        What the model does not read is for decoding (see squad.decoding.WindowContext), and is
        only there in the split to predict.
        """
        return {
            INPUT_IDS: Feature(tf.int32),
            "segment_ids": Feature(tf.int32),
            "p_mask": Feature(tf.int32, padding=1),
            "start_positions": Feature(tf.int32, is_sequence=False),
            "end_positions": Feature(tf.int32, is_sequence=False),
            "is_impossible": Feature(tf.int32, is_sequence=False),
            "question_index": Feature(tf.int32, is_sequence=False, is_input=False),
            "context_offset": Feature(tf.int32, is_sequence=False, is_input=False),
            "num_context_tokens": Feature(tf.int32, is_sequence=False, is_input=False),
            "token_starts": Feature(tf.int32, is_input=False),
            "token_ends": Feature(tf.int32, is_input=False),
            "token_is_best": Feature(tf.int32, is_input=False),
        }

    def features(self, split: str) -> Iterator[Dict[str, Any]]:
        """Yields one dict per window.

        In training, windows that do not hold the whole answer point at [CLS] and count as
        impossible. Training questions whose answer is not where answer_start says are left out.
        """
        converted = self._converted_questions(split)
        return self._train_features(converted) if split == "train" else _predict_features(converted)

    def example_of(self, row: Row) -> Tuple[str, str]:
        """Returns the context and the question in a row."""
        return text_in(row, "context"), text_in(row, "question")

    def features_of(self, examples: Sequence[Tuple[str, str]]) -> Iterator[Dict[str, Any]]:
        """Yields the windows of contexts with one question each."""
        paragraphs = _as_paragraphs(examples)
        return _predict_features(self._convert_all(paragraphs, map(self._convert, paragraphs)))

    def results_of(
        self,
        examples: Sequence[Tuple[str, str]],
        rows: Sequence[Dict[str, Any]],
        metrics: Optional[Dict[str, float]],
    ) -> Iterator[Dict[str, Any]]:
        """Yields the answer to each question: text, offsets in the context, probability.

        Where there is no answer, the text is empty. 2.0 adds the null odds.
        """
        result = self._result_of(_as_paragraphs(examples), rows, False, _threshold_in(metrics))
        for name, found in result.found.items():
            text, start = result.answers[name], found.pop("start")
            end = None if start is None else start + len(text)
            yield {"answer": text, "start": start, "end": end, **found}

    def metadata(self, metrics: Optional[Dict[str, float]]) -> Dict[str, Any]:
        """Returns the settings of windows and answers, and the threshold of the null odds."""
        threshold = _threshold_in(metrics)
        return {
            "task_type": "question_answering",
            **self._settings._asdict(),
            **({} if threshold is None else {"null_odds_threshold": threshold}),
        }

    def head(self, model: AlbertModel, features: Dict[str, Any], is_training: bool) -> ModelOutput:
        """Returns the ModelOutput of the version's head."""
        return self._version.head(model, features, is_training)

    def evaluate(
        self, predictions: Predictions, metrics: Optional[Dict[str, float]] = None
    ) -> Dict[str, float]:
        """Returns the official scores of the answers that `write_predictions` would write."""
        (rows,) = predictions.values()
        return self._result(rows, _threshold_in(metrics)).scores

    def comparisons(
        self,
        split: str,
        rows: Sequence[Dict[str, Any]],
        metrics: Optional[Dict[str, float]],
    ) -> Iterator[Dict[str, Any]]:
        """Yields context and question, the right answers and the one found, and its scores."""
        result = self._result(list(rows), _threshold_in(metrics))
        found = result.found
        for question, context in _questions_of(self._paragraphs(split)):
            answer = result.answers[question.id]
            exact, overlap = self._version.score(question, answer)
            yield {
                "id": question.id,
                "text": context,
                "question": question.question,
                "gold": list(dict.fromkeys(text for text, _ in question.answers)),
                "predicted": answer,
                **found[question.id],
                "exact": exact,
                "f1": overlap,
            }

    def write_predictions(
        self,
        predictions: Predictions,
        output_dir: str,
        metrics: Optional[Dict[str, float]] = None,
    ) -> List[str]:
        """Writes predictions.json, nbest_predictions.json and for 2.0 null_odds.json.

        The threshold of 2.0 belongs to the checkpoint: it is the one in `metrics`, if that has one,
        for a file with answers too.
        """
        (rows,) = predictions.values()
        known = _threshold_in(metrics)
        result = self._result(rows, known)
        if result.threshold is not None:
            source = "chosen by this file's own answers"
            if known is not None:
                source = "chosen when this checkpoint was evaluated"
            elif not self.dev_splits:
                source = "because none is known for this checkpoint"
            _log.info("Null odds above %s mean no answer: %s.", result.threshold, source)
        tables: Dict[str, Any] = {
            "predictions.json": result.answers,
            "nbest_predictions.json": result.n_best,
        }
        if result.null_odds is not None:
            tables["null_odds.json"] = result.null_odds
        paths = []
        for name, table in tables.items():
            paths.append(os.path.join(output_dir, name))
            json_files.write_json(paths[-1], table, indent=4)
        return paths

    def _path(self, split: str) -> str:
        path = self._paths[split]
        if not path:
            raise UsageError(f"<{split}_file> is required.", **{f"{split}_file": None})
        return path

    def _data_of(self, split: str) -> SquadData:
        self._path(split)
        return self._data[split]

    def _paragraphs(self, split: str) -> List[SquadParagraph]:
        return first_questions(self._data_of(split).paragraphs, self.max_samples.get(split))

    def _converted_questions(self, split: str) -> Iterator[_ConvertedQuestion]:
        """Yields the questions in the order of the file."""
        paragraphs = self._paragraphs(split)
        return self._convert_all(paragraphs, parallel.ordered_map(self._convert, paragraphs))

    def _convert_all(self, paragraphs, converted):
        for paragraph, (aligned, windows_of_questions) in zip(paragraphs, converted):
            for question, windows in zip(paragraph.questions, windows_of_questions):
                yield _ConvertedQuestion(question, paragraph.context, aligned, windows)

    def _convert(self, paragraph: SquadParagraph) -> Tuple[AlignedTokens, List[List[SquadWindow]]]:
        """Returns the tokens of the context, and the windows of each question."""
        settings = self._settings
        aligned = encode_aligned(self._tokenizer, paragraph.context)
        texts = [question.question for question in paragraph.questions]
        return aligned, [
            squad_features.make_windows(
                self._tokenizer,
                ids[: settings.max_query_length],
                aligned.ids,
                settings.max_seq_length,
                settings.doc_stride,
            )
            for ids in self._tokenizer.encode_batch(texts)
        ]

    def _train_features(self, converted: Iterator[_ConvertedQuestion]) -> Iterator[Dict[str, Any]]:
        left_out = []
        for question, context, aligned, windows in converted:
            answer = None
            if not question.is_impossible:
                text, begin = question.answers[0]
                is_there = text.strip() and begin >= 0 and context.startswith(text, begin)
                if not is_there or not aligned.ids:
                    left_out.append(question.id)
                    continue
                answer = squad_features.answer_tokens(aligned, begin, text)
            for window in windows:
                yield _inputs(window, window.positions(*answer) if answer else None)
        if left_out:
            _log.warning(
                "%s: %d questions are left out, since their answer is not where answer_start says:"
                " %s.",
                self._path("train"),
                len(left_out),
                ", ".join(map(shown, left_out[:3])) + (", ..." if len(left_out) > 3 else ""),
            )

    def _result(self, rows: List[Dict[str, Any]], threshold: Optional[float] = None) -> SquadResult:
        """Returns the result of the predicted file, given the rows of its windows."""
        paragraphs = self._paragraphs("predict")
        return self._result_of(paragraphs, rows, bool(self.dev_splits), threshold)

    def _result_of(self, paragraphs, rows, is_scored, threshold):
        rows_of_question: Dict[int, List[Dict[str, Any]]] = {}
        for row in rows:
            rows_of_question.setdefault(int(row["question_index"]), []).append(row)
        questions = _questions_of(paragraphs)
        return self._version.result(
            [
                QuestionRows(question, context, rows_of_question[index])
                for index, (question, context) in enumerate(questions)
            ],
            is_scored=is_scored,
            threshold=threshold,
        )


def _read(split: str, path: str, allows_impossible: bool) -> SquadData:
    """Returns the contents of a file, with all that a split of its kind needs."""
    setting = f"{split}_file"
    data = read_squad(path, setting)
    for question in data.questions():
        if question.is_impossible and not allows_impossible:
            raise UsageError(
                f"<{setting}> has questions without an answer; <squad_version> is for such files.",
                **{setting: path, "squad_version": "2.0"},
            )
        if split == "train" and not question.is_impossible and not question.answers:
            raise UsageError(
                f"<{setting}>: question {shown(question.id)} has no answer.", **{setting: path}
            )
    return data


def _threshold_in(metrics: Optional[Dict[str, float]]) -> Optional[float]:
    """Returns the threshold of null odds that goes with a checkpoint's metrics, if one is known."""
    known = (metrics or {}).get("best_f1_thresh", math.nan)
    return known if math.isfinite(known) else None


def _questions_of(paragraphs: Sequence[SquadParagraph]) -> List[Tuple[SquadQuestion, str]]:
    """Returns each question with its context."""
    return [(question, each.context) for each in paragraphs for question in each.questions]


def _as_paragraphs(examples: Sequence[Tuple[str, str]]) -> List[SquadParagraph]:
    """Returns a paragraph with one question for each pair; the questions' ids are numbers."""
    return [
        SquadParagraph(context, [SquadQuestion(str(number), question, (), False)])
        for number, (context, question) in enumerate(examples)
    ]


def _predict_features(converted: Iterator[_ConvertedQuestion]) -> Iterator[Dict[str, Any]]:
    """Yields windows with what decoding needs; their labels mean nothing."""
    for index, (_, _, aligned, windows) in enumerate(converted):
        for window, context in zip(windows, squad_features.window_contexts(windows, aligned)):
            yield dict(_inputs(window, None), question_index=index, **context.as_features())


def _inputs(window: SquadWindow, positions: Optional[Tuple[int, int]]) -> Dict[str, Any]:
    """Returns what the model reads; `positions` are those of the answer, None if there is none."""
    start, end = positions or (0, 0)
    return {
        INPUT_IDS: window.input_ids,
        "segment_ids": window.segment_ids,
        "p_mask": window.p_mask,
        "start_positions": start,
        "end_positions": end,
        "is_impossible": int(positions is None),
    }
