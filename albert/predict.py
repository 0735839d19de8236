r"""Predicts texts from anywhere with a model that a run has trained.

    python -m albert.predict --model_dir=albert_output/SST-2 --input=reviews.csv
    echo "a warm and funny film" | python -m albert.predict --model_dir=albert_output/SST-2

reads plain lines, TSV, CSV, JSON Lines, CoNLL or Parquet, from a file or standard input, and writes
one JSON object for each row, in their order: the row's columns with what is predicted. Columns are
`text` and, for pairs, `text_pair`, or those of the training file; for SQuAD `context` and
`question`; for RACE `article`, `question` and `options`; for tagging `tokens` or `text`.

In Python:

    model = albert.predict.load("albert_output/SST-2")
    model.predict(["a warm and funny film"])  # [{"label": "1", "score": 0.99, ...}]
"""

from albert.cli import quiet

if __name__ == "__main__":
    quiet.quiet_start()

import itertools
import os
import queue
import signal
import sys
import threading
from typing import (
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from albert.cli import program, shared_flags, trained_model
from albert.cli.options import check_file, check_folder
from albert.common import files, json_files, tables
from albert.common.errors import UsageError
from albert.common.tables import Row

_PROG = "predict.py"
_STDIN = "standard input"
_END = object()

# A text, a pair of texts, or {column: value}.
Input = Union[str, Tuple[str, str], Mapping[str, Any]]


class Model:
    """A trained model, ready to predict; `load` returns one.

    Args:
        task: an albert.engine.task.Task that reads loose input.
        predictor: its Predictor, with the checkpoint restored.
        metrics: those of the checkpoint on its dev data, for thresholds.
        batch_size: features that a device takes at a time; None for as many as suit it.
    """

    def __init__(
        self,
        task: Any,
        predictor: Any,
        metrics: Optional[Dict[str, float]],
        batch_size: Optional[int] = None,
    ) -> None:
        self._task = task
        self._predictor = predictor
        self._metrics = metrics
        self._batch_size = batch_size

    @property
    def task(self) -> Any:
        """The task, for its name and the columns that it reads."""
        return self._task

    @property
    def num_tokens(self) -> int:
        """How many tokens, padding included, a device takes at a time."""
        return self._predictor.num_tokens

    def predict(self, inputs: Iterable[Input]) -> List[Dict[str, Any]]:
        """Returns what is predicted of each input, as JSON values.

        Raises:
            UsageError: an input lacks a text that the model needs.
        """
        return self.predict_examples(self.examples_of(inputs))

    def examples_of(self, inputs: Iterable[Input]) -> List[Any]:
        """Returns the task's example in each input, for `predict_examples`.

        Raises:
            UsageError: an input lacks a text that the model needs.
        """
        rows = (Row(f"input {number}", _cells(each)) for number, each in enumerate(inputs))
        return [self._task.example_of(row) for row in rows]

    def predict_examples(self, examples: Sequence[Any]) -> List[Dict[str, Any]]:
        """Returns what is predicted of each example, as JSON values."""
        return self._results(examples, list(self._task.features_of(examples)))

    def _results(self, examples, features):
        predictions = self._predictor.predict_features(features, self._batch_size)
        return list(self._task.results_of(examples, predictions, self._metrics))

    def _prepare(self, rows):
        examples = [self._task.example_of(row) for row in rows]
        return _Prepared(rows, examples, list(self._task.features_of(examples)))

    def predict_rows(self, rows: Iterator[Row]) -> Iterator[Dict[str, Any]]:
        """Yields each row's cells with what is predicted of it, in their order.

        Rows are read, and turned into features, ahead of the devices, but never more than
        `Predictor.num_tokens` of them at a time. A row never waits for others to come.
        """
        size = self._predictor.num_tokens
        windows = _Ahead(map(self._prepare, _windows(_Ahead(rows, size), size)), 1)
        for prepared in windows:
            results = self._results(prepared.examples, prepared.features)
            for row, result in zip(prepared.rows, results):
                cells = row.cells.items()
                kept = {f"input_{key}" if key in result else key: value for key, value in cells}
                yield dict(kept, **result)


class _Prepared(NamedTuple):
    rows: List[Row]
    examples: List[Any]
    features: List[Dict[str, Any]]


def load(
    model_dir: str,
    device_type: str = "auto",
    num_devices: int = 1,
    precision: str = "fp32",
    batch_size: Optional[int] = None,
) -> Model:
    """Returns the best model in the output_dir of a run, or else its latest.

    Args:
        device_type, num_devices, precision: as for FinetuneConfig.
        batch_size: features that a device takes at a time; None for as many as suit it.

    Raises:
        UsageError: the folder holds no whole model, or the devices cannot be used.
    """
    for name, value in (("num_devices", num_devices), ("predict_batch_size", batch_size)):
        if value is not None and value < 1:
            raise UsageError(f"<{name}> must be 1 or more.", **{name: value})
    trained_model.check(model_dir)
    quiet.ready_tensorflow()
    from albert.engine import devices
    from albert.engine.predictor import Predictor

    trained = trained_model.load(model_dir)
    devices.prepare(num_devices)
    chosen = devices.choose(device_type, num_devices)
    devices.check_precision(chosen, precision)
    predictor = Predictor(
        trained.task,
        trained.albert_config,
        chosen,
        precision=precision,
        use_xla=devices.uses_xla(chosen, precision, trained.albert_config),
    )
    predictor.check(trained.checkpoint, "model_dir")
    predictor.restore(trained.checkpoint)
    return Model(trained.task, predictor, trained.metrics, batch_size)


def _cells(value: Input) -> Dict[str, Any]:
    if isinstance(value, str):
        return {tables.LINE: value}
    if isinstance(value, Mapping):
        return dict(value)
    return dict(zip((tables.LINE, "text_pair"), value))


class _Ahead:
    """Iterates in a thread of its own, some items ahead; its exception comes after its items."""

    def __init__(self, items: Iterable[Any], num_ahead: int) -> None:
        self._queue: queue.Queue[Any] = queue.Queue(num_ahead)
        self._error: Optional[BaseException] = None
        threading.Thread(target=self._fill, args=(items,), daemon=True).start()

    def _fill(self, items):
        try:
            for item in items:
                self._queue.put(item)
        except BaseException as error:  # raised where the items are used
            self._error = error
        self._queue.put(_END)

    def __iter__(self) -> "_Ahead":
        return self

    def __next__(self) -> Any:
        item = self._queue.get()
        if item is not _END:
            return item
        self._queue.put(_END)  # for the next call
        if self._error:
            raise self._error
        raise StopIteration

    def ready(self, limit: int) -> List[Any]:
        """Returns the next items that are there, at most `limit`, without waiting."""
        items: List[Any] = []
        while len(items) < limit:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is _END:
                self._queue.put(_END)  # for the next call
                break
            items.append(item)
        return items


def _windows(rows: _Ahead, size: int) -> Iterator[List[Row]]:
    """Yields lists of rows: those that have come, at least one, at most `size`."""
    for first in rows:
        yield [first, *rows.ready(size - 1)]


def _rows(path: str, input_format: str) -> Iterator[Row]:
    """Yields the rows of a file, or of standard input if the path is "-"."""
    known = None if input_format == "auto" else input_format
    if path != "-" and (known or tables.format_of(path)):
        return tables.read_table(path, "input", known)
    try:
        lines = sys.stdin.buffer if path == "-" else open(path, "rb")
        first = list(itertools.islice(lines, 1))
    except OSError as error:
        raise UsageError(f"<input> cannot be read: {error.strerror}.", input=path) from error
    if known is None:
        known = "jsonl" if first and first[0].lstrip(b"\xef\xbb\xbf").startswith(b"{") else "lines"
    return tables.read_lines(itertools.chain(first, lines), _STDIN if path == "-" else path, known)


def _predict(arguments: Any) -> None:
    import tqdm

    trained_model.check(arguments.model_dir)
    if arguments.input != "-":
        check_file("input", arguments.input)
    if arguments.output:
        check_folder("output", os.path.dirname(os.path.abspath(arguments.output)))
    model = load(
        arguments.model_dir,
        arguments.device_type,
        arguments.num_gpu_cores,
        arguments.precision,
        arguments.predict_batch_size,
    )
    quiet.has_started()
    results = model.predict_rows(_rows(arguments.input, arguments.input_format))
    lines = (json_files.as_json(result) + "\n" for result in results)
    shown = tqdm.tqdm(lines, unit=" rows", leave=False, disable=None)
    if arguments.output:
        with files.replacing(arguments.output) as path:
            with open(path, "w", encoding="utf-8", newline="\n") as writer:
                writer.writelines(shown)
        return
    try:
        for line in shown:
            sys.stdout.buffer.write(line.encode())
            sys.stdout.buffer.flush()
    except BrokenPipeError:  # as of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def main() -> None:
    """Runs the command line."""
    from albert.engine.config import DEVICE_TYPES, PRECISIONS

    parser = program.Parser(prog=_PROG, description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model_dir", required=True, help="output_dir of a training")
    parser.add_argument("--input", default="-", help="file to predict (default: standard input)")
    parser.add_argument("--output", help="file for the results (default: standard output)")
    parser.add_argument(
        "--input_format",
        default="auto",
        choices=("auto", *(name for name in tables.FORMATS if name != "parquet")),
        help="default: by the file's ending; else JSON Lines if it begins with {, or plain lines",
    )
    parser.add_argument("--device_type", default="auto", choices=DEVICE_TYPES)
    parser.add_argument("--num_gpu_cores", type=int, default=1, help="devices (default: 1)")
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS)
    parser.add_argument(
        "--predict_batch_size", type=int, help="rows that a device takes (default: as many as suit)"
    )
    arguments = parser.parse_args()
    quiet.show_log(-1)
    program.run(_PROG, lambda: _predict(arguments), flag_of=shared_flags.flag_of)


if __name__ == "__main__":
    main()
