"""The command line of the benchmarks."""

import argparse
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
GLUE_TASKS = {"cola": ("CoLA", 0), "sst-2": ("SST-2", 1)}  # folder, header lines of train.tsv
TASKS = (*GLUE_TASKS, "squad")
PRECISIONS = ("fp32", "bf16", "fp16")
PARTS = ("training", "pretraining", "prediction", "conversion", "start", "memory", "growth")
SIZES = {  # layers, hidden size, heads, intermediate size
    "tiny": (2, 32, 2, 64),
    "small": (4, 128, 4, 512),
    "base": (12, 768, 12, 3072),
    "large": (24, 1024, 16, 4096),
    "xlarge": (24, 2048, 16, 8192),
    "xxlarge": (12, 4096, 64, 16384),
}
_SIZE_KEYS = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")


def model_of(size, vocab_size, **changes):
    """Returns the keys of albert_config.json that differ between sizes, for both programs."""
    sizes = dict(zip(_SIZE_KEYS, SIZES[size]))
    return {"vocab_size": vocab_size, "embedding_size": 128, **sizes, **changes}


def flops_per_token(model):
    """Returns the operations of a training step for a real token, in its dense layers alone.

    A layer multiplies a token by four matrices of attention and two of the feed-forward network;
    the gradient takes twice as many operations as the forward pass.
    """
    hidden, intermediate = model["hidden_size"], model["intermediate_size"]
    return 3 * 2 * model["num_hidden_layers"] * (4 * hidden**2 + 2 * hidden * intermediate)


def flops_of_prediction(model):
    """Returns the same of the masked language model's head, for a token to be predicted."""
    embedding = model["embedding_size"]
    return 3 * 2 * embedding * (model["hidden_size"] + model["vocab_size"])


def parse(arguments):
    """Returns the settings: those of the command line, the models' vocabulary size not among them.

    Exits with one line if files are missing.
    """
    parser = argparse.ArgumentParser(
        prog="run_benchmarks.sh", description="See benchmarks/README.md."
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; or all")
    parser.add_argument("--data_dir", default="glue_data", help="folder with CoLA/ and SST-2/")
    parser.add_argument(
        "--squad_file", default="squad_data/train-v1.1.json", help="SQuAD 1.1, to train on"
    )
    parser.add_argument("--vocab_file", default=str(ROOT / "30k-clean.vocab"))
    parser.add_argument("--spm_model_file", default=str(ROOT / "30k-clean.model"))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["base"])
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=["fp32"])
    parser.add_argument(
        "--batch_sizes", nargs="+", type=int, default=[16], help="of SQuAD, a quarter of each"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each program is measured")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="how long a program trains in a round, about"
    )
    parser.add_argument("--device_type", choices=("auto", "gpu", "cpu"), default="auto")
    parser.add_argument("--peer", action="store_true", default=True, help="the default")
    parser.add_argument("--no_peer", dest="peer", action="store_false", help="only ours")
    parser.add_argument(
        "--compile", action="store_true", help="the peer with torch.compile, too, in training"
    )
    parser.add_argument("--tiny", action="store_true", help="a tiny model and little data: a test")
    parser.add_argument("--output", default="measured.json", help="JSON file to write")
    parser.add_argument("--peer_python", help="set by scripts/run_benchmarks.sh")
    settings = parser.parse_args(arguments)
    unknown = set(settings.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    settings.parts = settings.parts or list(PARTS)
    for name in ("data_dir", "squad_file", "vocab_file", "spm_model_file", "output"):
        setattr(settings, name, os.path.abspath(getattr(settings, name)))  # for the workers
    settings.pool_size = settings.texts_size = None
    if settings.tiny:
        settings.sizes, settings.seconds = ["tiny"], 0.02
        settings.pool_size = settings.texts_size = 4 * max(settings.batch_sizes)
    _check(settings, parser)
    return settings


def _check(settings, parser):
    if settings.rounds < 1 or min(settings.batch_sizes) < 1:
        parser.error("--rounds and --batch_sizes must be 1 or more")
    needed = {"vocab_file": settings.vocab_file, "spm_model_file": settings.spm_model_file}
    for name in settings.tasks:
        if name == "squad":
            needed["squad_file"] = settings.squad_file
        else:
            needed["data_dir"] = os.path.join(settings.data_dir, GLUE_TASKS[name][0], "train.tsv")
    for flag, path in needed.items():
        if not os.path.isfile(path):
            parser.error(f"--{flag}: there is no {path}")
