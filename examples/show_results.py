"""Prints the results of a run and the files that it wrote: show_results.py OUTPUT_DIR."""

import json
import os
import pathlib
import shlex
import sys

import tabulate

SHOWN = ("matthews_corr", "accuracy", "exact", "f1", "HasAns_f1", "NoAns_f1", "loss")
FILES = {
    "learning_curve.png": "loss, learning rate and metrics by step",
    "eval_results.txt": "settings and every evaluation",
    "model.ckpt-best.index": "the checkpoint with the best result",
    "test_results.tsv": "probabilities of each class for the test set",
    "submit_results.tsv": "the class with the highest probability",
    "predictions.json": "the answer to each question",
    "nbest_predictions.json": "the best answers to each question, with probabilities",
    "null_odds.json": "the score of each question for having no answer",
}


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/show_results.py OUTPUT_DIR")
    output_dir = pathlib.Path(sys.argv[1])
    try:
        results = json.loads((output_dir / "eval_results.json").read_text(encoding="utf-8"))
    except OSError as error:
        sys.exit(f"show_results.py: {error.filename}: {error.strerror}.")
    best = results["best"]
    names = [name for name in SHOWN if name in best["metrics"]]
    rows = []
    for row in results["evaluations"]:
        mark = "best" if row["step"] == best["step"] else ""
        rows.append([row["step"], *(row["metrics"][name] for name in names), mark])
    print(tabulate.tabulate(rows, headers=["step", *names, ""], tablefmt="plain", floatfmt=".4f"))
    print(f"\nIn {os.path.relpath(str(output_dir))}{os.sep}:")
    for name, meaning in FILES.items():
        if (output_dir / name).exists():
            print(f"  {name:24}{meaning}")
    shown = shlex.quote(os.path.relpath(str(output_dir)))
    print(f"TensorBoard shows more: {tensorboard()} --logdir {shown}")


def tensorboard():
    """Returns the command of this Python's environment, which then need not be activated."""
    path = pathlib.Path(sys.executable).parent / "tensorboard"
    return shlex.quote(os.path.relpath(str(path))) if path.exists() else path.name


if __name__ == "__main__":
    main()
