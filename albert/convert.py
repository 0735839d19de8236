r"""Converts a model of Hugging Face transformers to the layout of google-research/albert.

    python -m albert.convert --input=albert-base-v2 --output_dir=albert_base_v2

reads a folder that save_pretrained has written, with config.json and model.safetensors, and writes
albert_config.json, model.ckpt-best.* and the vocabulary. The heads of ALBERT's pre-training and of
classification, tagging and SQuAD 1.1 come along.
"""

from albert.cli import quiet

if __name__ == "__main__":
    quiet.quiet_start()

import os
import shutil
from typing import Any

from albert.cli import program, shared_flags
from albert.cli.options import CONFIG, SPM_MODEL, VOCABULARY, check_folder
from albert.common import files
from albert.common.errors import UsageError

_PROG = "convert.py"


def _convert(arguments: Any) -> None:
    check_folder("input", arguments.input)
    quiet.ready_tensorflow()
    from albert.conversion import hugging_face

    source, target = arguments.input, arguments.output_dir
    prefix = os.path.join(target, "model.ckpt-best")
    if os.path.exists(prefix + ".index"):
        raise UsageError(
            "<output_dir> holds a model.ckpt-best already; use another folder.", output_dir=target
        )
    config = hugging_face.read_config(source, "input")
    weights = hugging_face.read_weights(source, "input")
    hugging_face.check_shapes(weights, config, source, "input")
    quiet.has_started()
    os.makedirs(target, exist_ok=True)
    hugging_face.write_checkpoint(prefix, weights)
    files.write_text(os.path.join(target, CONFIG), config.to_json_string())
    written = [prefix, os.path.join(target, CONFIG)]
    for name in (SPM_MODEL, VOCABULARY):
        original = os.path.join(source, name)
        if os.path.exists(original):
            written.append(os.path.join(target, name))
            if os.path.realpath(original) != os.path.realpath(written[-1]):
                shutil.copyfile(original, written[-1])
    print("\n".join(written))


def main() -> None:
    """Runs the command line."""
    parser = program.Parser(prog=_PROG, description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--input", required=True, help="folder of the model")
    parser.add_argument("--output_dir", required=True, help="folder for the converted model")
    arguments = parser.parse_args()
    quiet.show_log(-1)
    program.run(_PROG, lambda: _convert(arguments), flag_of=shared_flags.flag_of)


if __name__ == "__main__":
    main()
