"""SQuAD 1.1 and 2.0 as a task: its features, heads, answers and scores."""

import json
import logging
import os
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from albert.common import files, parallel
from albert.common.errors import UsageError
from albert.engine.task import INPUT_IDS, Feature, Task
from albert.squad import decoding, heads
from albert.squad import features as squad_features
from albert.squad import metrics as squad_metrics
from albert.squad.files import read_squad
from albert.text.alignment import encode_aligned

VERSIONS = ("1.1", "2.0")

_log = logging.getLogger(__name__)


class SquadSettings(NamedTuple):
    """What shapes features and answers; named as the flags are."""

    squad_version: str = "1.1"
    max_seq_length: int = 384
    doc_stride: int = 128
    max_query_length: int = 64
    n_best_size: int = 20
    max_answer_length: int = 30
    start_n_top: int = 5
    end_n_top: int = 5
    dropout_prob: float = 0.1


class SquadTask(Task):
    """Reading comprehension: the answer to a question is a span of a context, or there is none.

    Args:
        tokenizer: tokenization.FullTokenizer.
        settings: SquadSettings.
        train_file: SQuAD JSON; None if nothing is trained.
        predict_file: SQuAD JSON; None if nothing is predicted.

    Raises:
        UsageError: a file cannot be read, or a setting is out of range.
    """

    best_metric = "f1"
    shown_metrics = ("f1", "exact_match", "exact", "HasAns_f1", "NoAns_f1")
    test_splits = ("predict",)

    def __init__(self, tokenizer, settings, train_file=None, predict_file=None):
        for flag, value in settings._asdict().items():
            if isinstance(value, int) and value < 1:
                raise UsageError(f"--{flag}={value} must be 1 or more.")
        self.name = f"squad{settings.squad_version}"
        self._tokenizer = tokenizer
        self._settings = settings
        self._files = {"train": train_file, "predict": predict_file}
        self._data = {}
        self._shown = None

    @property
    def dev_splits(self):
        """The split to predict, if the file has answers to score with."""
        if not self._files["predict"]:
            return ()
        has_answers = any(question.answers for question in self._read("predict").questions())
        return ("predict",) if has_answers else ()

    @property
    def _is_version_2(self):
        return self._settings.squad_version == "2.0"

    def settings(self):
        """Returns {name: value} to show among the hyperparameters."""
        return {
            "Task": f"SQuAD {self._settings.squad_version}",
            "Max sequence length": self._settings.max_seq_length,
        }

    def fingerprint(self, split):
        """Returns what shapes the features of a split, as a dict for JSON."""
        shape = ("squad_version", "max_seq_length", "doc_stride", "max_query_length")
        path = self._path(split)
        try:
            digest = files.sha256(path)
        except OSError as error:
            raise UsageError(f"--{split}_file={path}: {error.strerror}.") from error
        return {
            "task": self.name,
            "split": split,
            "data": digest,
            "tokenizer": self._tokenizer.fingerprint(),
            **{name: getattr(self._settings, name) for name in shape},
        }

    def feature_spec(self):
        """Returns {name: Feature} of a window; the labels of the split to predict are 0."""
        return {
            INPUT_IDS: Feature(tf.int32),
            "segment_ids": Feature(tf.int32),
            "p_mask": Feature(tf.int32, padding=1),
            "start_positions": Feature(tf.int32, is_sequence=False),
            "end_positions": Feature(tf.int32, is_sequence=False),
            "is_impossible": Feature(tf.int32, is_sequence=False),
        }

    def features(self, split):
        """Yields one dict a window.

        Training windows without the whole answer point at [CLS] and count as impossible. Training
        questions whose answer does not stand where it should are counted and left out.
        """
        left_out = []
        for context, question, aligned, windows in self._questions(split):
            answer = None
            if split == "train" and not question.is_impossible:
                text, begin = self._training_answer(question)
                is_there = text.strip() and begin >= 0 and context.startswith(text, begin)
                if not is_there or not aligned.ids:
                    left_out.append(question.id)
                    continue
                answer = squad_features.answer_pieces(aligned, begin, text)
            for window in windows:
                positions = window.positions(*answer) if answer else None
                start, end = positions or (0, 0)
                yield {
                    INPUT_IDS: window.input_ids,
                    "segment_ids": window.segment_ids,
                    "p_mask": window.p_mask,
                    "start_positions": start,
                    "end_positions": end,
                    "is_impossible": int(split == "train" and positions is None),
                }
        if left_out:
            _log.warning(
                "%s: %d questions are left out, since their answer is not where answer_start says:"
                " %s.",
                self._path(split),
                len(left_out),
                ", ".join(left_out[:3]) + (", ..." if len(left_out) > 3 else ""),
            )

    def head(self, model, features, is_training):
        """Returns the ModelOutput of the version's head."""
        if not self._is_version_2:
            return heads.head_of_version_1(model, features, is_training)
        settings = self._settings
        return heads.head_of_version_2(
            model,
            features,
            is_training,
            settings.start_n_top,
            settings.end_n_top,
            settings.dropout_prob,
        )

    def evaluate(self, predictions):
        """Returns the official scores of the answers, as `write_predictions` would write them."""
        (rows,) = predictions.values()
        return self._answers(rows)[3]

    def write_predictions(self, predictions, output_dir):
        """Writes predictions.json, nbest_predictions.json and for 2.0 null_odds.json."""
        (rows,) = predictions.values()
        chosen, n_best, null_odds, _ = self._answers(rows)
        tables = {"predictions.json": chosen, "nbest_predictions.json": n_best}
        if self._is_version_2:
            tables["null_odds.json"] = null_odds
        paths = []
        for name, table in tables.items():
            paths.append(os.path.join(output_dir, name))
            files.write_text(paths[-1], json.dumps(table, indent=4, ensure_ascii=False) + "\n")
        return paths

    def _path(self, split):
        path = self._files[split]
        if not path:
            raise UsageError(f"--{split}_file is required.")
        return path

    def _read(self, split):
        if split not in self._data:
            data = read_squad(self._path(split))
            if not self._is_version_2 and any(row.is_impossible for row in data.questions()):
                raise UsageError(
                    f"--{split}_file={self._path(split)} has questions without an answer; "
                    "--squad_version=2.0 is for such files."
                )
            self._data[split] = data
        return self._data[split]

    def _training_answer(self, question):
        if not question.answers:
            raise UsageError(
                f"--train_file={self._path('train')}: question {question.id} has no answer."
            )
        return question.answers[0]

    def _questions(self, split):
        """Yields (context, SquadQuestion, AlignedTokens, its windows) in the order of the file."""
        paragraphs = self._read(split).paragraphs
        converted = parallel.ordered_map(self._convert, paragraphs)
        for paragraph, (aligned, windows) in zip(paragraphs, converted):
            for question, its_windows in zip(paragraph.questions, windows):
                yield paragraph.context, question, aligned, its_windows

    def _convert(self, paragraph):
        """Returns (AlignedTokens of the context, the windows of each question)."""
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

    def _shown_windows(self):
        """Returns [(context, SquadQuestion, AlignedTokens, [ShownWindow])], made once."""
        if self._shown is None:
            self._shown = [
                (context, question, aligned, _shown(windows))
                for context, question, aligned, windows in self._questions("predict")
            ]
        return self._shown

    def _answers(self, rows):
        """Returns (answers, n-best lists, null odds, scores), each by question id or metric."""
        best, n_best, null_odds = {}, {}, {}
        row = iter(rows)
        for context, question, aligned, windows in self._shown_windows():
            spans, null_logits = [], []
            for window in windows:
                found = next(row)
                spans += self._spans(window, found)
                null_logits.append(float(found.get("null_logits", 0.0)))
            answers = decoding.best_answers(
                context, aligned, spans, self._settings.n_best_size
            ) or [decoding.Answer("" if self._is_version_2 else "empty", 0.0)]
            best[question.id] = answers[0].text
            n_best[question.id] = decoding.with_probabilities(answers)
            null_odds[question.id] = min(null_logits)
        questions = list(self._read("predict").questions())
        if not self._is_version_2:
            scores = squad_metrics.evaluate_version_1(questions, best) if self.dev_splits else {}
            return best, n_best, null_odds, scores
        return self._with_silence(questions, best, n_best, null_odds)

    def _with_silence(self, questions, best, n_best, null_odds):
        """Returns what _answers does, with "" where the odds are above the best threshold."""
        threshold, thresholds = 0.0, {}
        if self.dev_splits:
            raw = squad_metrics.evaluate_version_2(questions, best, null_odds)
            threshold = raw["best_f1_thresh"]
            thresholds = {name: value for name, value in raw.items() if name.startswith("best_")}
        chosen = {name: text if null_odds[name] <= threshold else "" for name, text in best.items()}
        scores = {}
        if self.dev_splits:
            scores = dict(squad_metrics.evaluate_version_2(questions, chosen), **thresholds)
            scores = {name: value for name, value in scores.items() if not name.endswith("total")}
        return chosen, n_best, null_odds, scores

    def _spans(self, window, row):
        settings = self._settings
        if self._is_version_2:
            return decoding.spans_of_beams(window, row, settings.max_answer_length)
        return decoding.spans_of_logits(
            window,
            row["start_logits"],
            row["end_logits"],
            settings.n_best_size,
            settings.max_answer_length,
        )


def _shown(windows):
    best = squad_features.best_windows(windows)
    return [
        decoding.ShownWindow(
            window.offset,
            window.begin,
            window.num_pieces,
            [best[piece] == number for piece in range(window.begin, window.end)],
        )
        for number, window in enumerate(windows)
    ]
