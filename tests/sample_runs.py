"""Fabricated runs for the tests of albert.report: the files that runs leave in their folders."""

import json

import tensorflow.compat.v1 as tf

STEP = 20


def write_run(folder, evaluations, rows=None, best_metric="accuracy", losses=(), **settings):
    """Writes a run's files and returns its folder as text.

    Args:
        evaluations: {step: metrics}; the one with the highest best_metric is best.
        rows: of dev_predictions.jsonl; None for no such file.
        losses: of the training, from step 1 on.
        settings: of eval_results.json; also the options in run.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"task": "CoLA", "seed": 1, **settings}
    scores = {step: metrics[best_metric] for step, metrics in evaluations.items()}
    scores = {step: score for step, score in scores.items() if score is not None}
    best = max(scores, key=lambda step: scores[step]) if scores else None
    record = {
        "settings": settings,
        "best_metric": best_metric,
        "greater_is_better": True,
        "best": best and {"step": best, "metrics": evaluations[best]},
        "evaluations": [
            {"step": step, "dataset": "d", "metrics": metrics}
            for step, metrics in evaluations.items()
        ],
    }
    (folder / "eval_results.json").write_text(json.dumps(record))
    options = {"output_dir": str(folder), **settings}
    (folder / "run.json").write_text(json.dumps({"settings": {}, "options": options}))
    if rows is not None:
        write_rows(folder, rows)
    if losses:
        write_events(folder, losses)
    return str(folder)


def write_rows(folder, rows):
    lines = [json.dumps({"step": STEP, "split": "dev", **row}) for row in rows]
    (folder / "dev_predictions.jsonl").write_text("\n".join(lines) + "\n")


def write_events(folder, losses):
    with tf.Graph().as_default():
        writer = tf.summary.FileWriter(str(folder))
    for step, loss in enumerate(losses, 1):
        value = tf.Summary.Value(tag="loss", simple_value=loss)
        writer.add_summary(tf.Summary(value=[value]), step)
    writer.close()


def classified(index, gold, predicted, p=0.9, labels=("no", "yes"), **more):
    """Returns a row of a classification, in which the predicted label has a probability of p."""
    probabilities = dict.fromkeys(labels, None if p is None else (1 - p) / (len(labels) - 1))
    probabilities[predicted] = p
    return {
        "index": index,
        "gold": gold,
        "predicted": predicted,
        "text": f"text {index}",
        "probabilities": probabilities,
        "loss": 0.5,
        **more,
    }


def scored(index, gold, predicted, **more):
    """Returns a row of a regression."""
    return {"index": index, "gold": gold, "predicted": predicted, "loss": 0.1, "text": "t", **more}


def labelled(index, gold, predicted, loss, labels=("a", "b", "c")):
    """Returns a row in which an example has any number of labels."""
    probabilities = {label: 0.8 if label in predicted else 0.2 for label in labels}
    return {
        "index": index,
        "gold": gold,
        "predicted": predicted,
        "text": f"text {index}",
        "probabilities": probabilities,
        "loss": loss,
    }


def answered(index, gold, predicted, score=0.5, exact=0, f1=0.0, text="Ann met Bob.", start=None):
    """Returns a row of SQuAD."""
    return {
        "index": index,
        "id": f"q{index}",
        "text": text,
        "question": "Who?",
        "gold": gold,
        "predicted": predicted,
        "start": text.find(predicted) if predicted and start is None else start,
        "score": score,
        "exact": exact,
        "f1": f1,
    }


def tagged(index, tokens, gold, predicted, p=0.9):
    """Returns a row of a tagging; texts are split at spaces."""
    gold, predicted = gold.split(), predicted.split()
    return {
        "index": index,
        "tokens": tokens.split(),
        "gold": gold,
        "predicted": predicted,
        "probabilities": [p] * len(gold),
        "loss": 0.5,
    }
