"""Writes a trained model for other programs.

    python -m albert.export --model_dir=OUT --format=hugging_face --output=DIR

| format         | what DIR holds                                                                |
|----------------|-------------------------------------------------------------------------------|
| `saved_model`  | a SavedModel: TensorFlow Serving, TensorFlow from 1.15 on                     |
| `hugging_face` | what from_pretrained of transformers loads                                    |
| `onnx`         | model.onnx: onnxruntime and others                                            |

Each has tokenizer.json and the vocabulary beside it, and metadata.json, which says what labels mean
and how texts become ids.
"""

from albert.cli import quiet

if __name__ == "__main__":
    quiet.quiet_start()

from typing import Any

from albert.cli import program, shared_flags, trained_model
from albert.cli.options import check_folder
from albert.common import files

_PROG = "export"
FORMATS = SAVED_MODEL, HUGGING_FACE, ONNX = "saved_model", "hugging_face", "onnx"


def _export(arguments: Any) -> None:
    check_folder("model_dir", arguments.model_dir)
    files.check_new_folder("output", arguments.output)
    is_hugging_face = arguments.format == HUGGING_FACE
    has_no_task = is_hugging_face and (
        not trained_model.is_run(arguments.model_dir)
        or trained_model.is_pretrained(arguments.model_dir)
    )
    if not has_no_task:
        trained_model.check(arguments.model_dir)
    quiet.ready_tensorflow()
    from albert.engine import checkpoints
    from albert.export import graph, hugging_face, metadata, onnx, saved_model

    if arguments.format == ONNX:
        onnx.check()
    load = trained_model.load_without_task if has_no_task else trained_model.load
    trained = load(arguments.model_dir)
    checkpoints.check(trained.checkpoint)
    quiet.has_started()
    found = metadata.of(trained)
    with files.making_folder("output", arguments.output) as folder:
        extra = folder
        if is_hugging_face:
            hugging_face.write(folder, trained, found)
        else:
            frozen = graph.freeze(trained)
            found = metadata.with_signature(found, frozen)
            if arguments.format == ONNX:
                onnx.write(folder, frozen)
            else:
                extra = saved_model.write(folder, frozen)
        metadata.write(extra, trained, found)
    print(arguments.output)


def main() -> None:
    """Runs the command line."""
    parser = program.Parser(prog=_PROG, description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model_dir", required=True, help="output_dir of a training")
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--output", required=True, help="folder to make")
    arguments = parser.parse_args()
    quiet.show_log(-1)
    program.run(_PROG, lambda: _export(arguments), flag_of=shared_flags.flag_of)


if __name__ == "__main__":
    main()
