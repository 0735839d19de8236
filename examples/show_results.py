"""Prints what a run has reached, and which files to look at: show_results.py OUTPUT_DIR."""

import json
import os
import pathlib
import shlex
import sys

SHOWN = (
    *("matthews_corr", "accuracy"),
    *("exact", "f1", "HasAns_f1", "NoAns_f1"),
    "loss",
)
FILES = {
    "learning_curve.png": "loss, learning rate and metrics against steps",
    "eval_results.txt": "settings and every evaluation",
    "model.ckpt-best.index": "the checkpoint with the best result",
    "test_results.tsv": "probabilities of each class for the test set",
    "submit_results.tsv": "the decisions made of them",
    "predictions.json": "the answer to each question",
    "nbest_predictions.json": "the best answers to each, with probabilities",
    "null_odds.json": "how likely a question has no answer (a logit)",
}


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/show_results.py OUTPUT_DIR")
    output_dir = pathlib.Path(sys.argv[1])
    try:
        results = json.loads((output_dir / "eval_results.json").read_text(encoding="utf-8"))
    except OSError as error:
        sys.exit(f"show_results.py: {error.filename}: {error.strerror}.")
    rows, best = results["evaluations"], results["best"]
    names = [name for name in SHOWN if name in best["metrics"]]
    print("".join(f"{name:>14}" for name in ["step", *names]))
    for row in rows:
        numbers = "".join(f"{row['metrics'][name]:14.4f}" for name in names)
        print(f"{row['step']:14d}{numbers}" + ("  best" * (row["step"] == best["step"])))
    print(f"\nIn {os.path.relpath(str(output_dir))}{os.sep}:")
    for name, meaning in FILES.items():
        if (output_dir / name).exists():
            print(f"  {name:24}{meaning}")
    shown = shlex.quote(os.path.relpath(str(output_dir)))
    print(f"TensorBoard shows more: {tensorboard()} --logdir {shown}")


def tensorboard():
    """Returns the command; that of this Python's environment needs no activation."""
    beside = pathlib.Path(sys.executable).parent / "tensorboard"
    return shlex.quote(os.path.relpath(str(beside))) if beside.exists() else beside.name


if __name__ == "__main__":
    main()
