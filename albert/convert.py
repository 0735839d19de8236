r"""Converts a model of another program to the layout of google-research/albert.

    python -m albert.convert --input=albert-base-v2 --output_dir=albert_base_v2
    python -m albert.convert --input=albert_tiny/albert_model.ckpt --output_dir=albert_tiny_zh \
        --albert_config_file=albert_tiny/albert_config_tiny.json

The first reads a folder that save_pretrained of Hugging Face transformers has written, with
config.json and model.safetensors; the heads of ALBERT's pre-training and of classification, tagging
and SQuAD 1.1 come along. The second reads a Chinese model of brightmart's albert_zh. Both write
albert_config.json, model.ckpt-best.* and the vocabulary.
"""

from albert.cli import quiet

if __name__ == "__main__":
    quiet.quiet_start()

import os
from typing import Any, Dict, Optional, Tuple

from albert.cli import program, shared_flags
from albert.cli.options import CONFIG, SPM_MODEL, VOCABULARY, check_file, check_folder
from albert.common import files
from albert.common.errors import UsageError

_PROG = "convert.py"
_BEST = "model.ckpt-best"


def _check(arguments: Any) -> None:
    """Raises UsageError unless the flags name what can be converted, and where to."""
    source, config_file = arguments.input, arguments.albert_config_file
    if _is_checkpoint(source) and not config_file:
        raise UsageError(
            "<input> is a checkpoint: <albert_config_file> is needed, too.",
            input=source,
            albert_config_file=None,
        )
    if config_file and not _is_checkpoint(source):
        raise UsageError(
            "<albert_config_file> belongs to a checkpoint, but <input> is none.",
            input=source,
            albert_config_file=config_file,
        )
    if config_file:
        check_file("albert_config_file", config_file)
    else:
        check_folder("input", source)
    if os.path.exists(os.path.join(arguments.output_dir, _BEST + ".index")):
        raise UsageError(
            f"<output_dir> holds a {_BEST} already; use another folder.",
            output_dir=arguments.output_dir,
        )


def _is_checkpoint(source: str) -> bool:
    return os.path.isfile(f"{source}.index")


def _read(source: str, config_file: Optional[str]) -> Tuple[Any, Dict[str, Any]]:
    """Returns the configuration and the weights of a model, which fit each other."""
    from albert.conversion import brightmart, checkpoint, hugging_face
    from albert.modeling import AlbertConfig

    if config_file:
        config = brightmart.adapted(AlbertConfig.from_json_file(config_file), config_file)
        weights = brightmart.read_weights(source, "input")
    else:
        config = hugging_face.read_config(source, "input")
        weights = hugging_face.read_weights(source, "input")
    checkpoint.check_shapes(weights, config, source, "input")
    return config, weights


def _convert(arguments: Any) -> None:
    _check(arguments)
    quiet.ready_tensorflow()
    from albert.conversion import checkpoint

    source, target = arguments.input, arguments.output_dir
    config, weights = _read(source, arguments.albert_config_file)
    quiet.has_started()
    os.makedirs(target, exist_ok=True)
    prefix = os.path.join(target, _BEST)
    checkpoint.write_checkpoint(prefix, weights)
    files.write_text(os.path.join(target, CONFIG), config.to_json_string())
    written = [prefix, os.path.join(target, CONFIG)]
    folder = os.path.dirname(source) if _is_checkpoint(source) else source
    for name in (SPM_MODEL, VOCABULARY):
        original = os.path.join(folder, name)
        if os.path.exists(original):
            written.append(os.path.join(target, name))
            if os.path.realpath(original) != os.path.realpath(written[-1]):
                files.copy(original, written[-1])
    print("\n".join(written))


def main() -> None:
    """Runs the command line."""
    parser = program.Parser(prog=_PROG, description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--input", required=True, help="folder of a model, or prefix of a checkpoint"
    )
    parser.add_argument("--albert_config_file", help="that of a checkpoint")
    parser.add_argument("--output_dir", required=True, help="folder for the converted model")
    arguments = parser.parse_args()
    quiet.show_log(-1)
    program.run(_PROG, lambda: _convert(arguments), flag_of=shared_flags.flag_of)


if __name__ == "__main__":
    main()
