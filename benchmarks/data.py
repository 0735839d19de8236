"""The data that workers share: the same token ids, and the same texts, for every program."""

import itertools
import json
import os
import random
import subprocess
import sys

from benchmarks.settings import GLUE_TASKS

MAX_SEQ_LENGTH = {"squad": 384}  # of other tasks 128
_SPECIAL_IDS = 5  # of ALBERT's vocabulary, which made-up sequences leave out
_POOL_SIZE = {"squad": 400}  # of other tasks 1600: a hundred batches of 16
_CONVERTED_SIZE = {"squad": 3000}  # questions; of other tasks 20000 sentences


def tokenizer_of(settings):
    """Returns our tokenizer of the vocabulary in the settings."""
    from albert.tokenization import FullTokenizer

    return FullTokenizer(settings.vocab_file, spm_model_file=settings.spm_model_file)


def make_task(name, tokenizer, data_dir, squad_file):
    """Returns a task with its texts: cola, sst-2 or squad, without dropout."""
    if name == "squad":
        from albert.squad.versions import SquadSettings
        from albert.squad_utils import SquadTask

        return SquadTask(tokenizer, SquadSettings("1.1", dropout_prob=0.0), train_file=squad_file)
    from albert import classifier_utils

    return classifier_utils.make_task(name, data_dir, tokenizer, MAX_SEQ_LENGTH.get(name, 128), 0.0)


def write_pool(name, split, settings, size=None):
    """Writes examples of a split as token ids; returns (path, number of examples, of tokens).

    They are taken at equal distances, so that their lengths are those of the whole split.
    """
    task = make_task(name, tokenizer_of(settings), settings.data_dir, settings.squad_file)
    size = settings.pool_size or size or _POOL_SIZE.get(name, 1600)
    features = list(itertools.islice(task.features(split), 50 * size))
    inputs = {key for key, feature in task.feature_spec().items() if feature.is_input}
    rows = [
        {key: value for key, value in features[index].items() if key in inputs}
        for index in _evenly_spaced(len(features), size)
    ]
    return _write_rows(os.path.join(settings.work_dir, f"{name}_{split}.jsonl"), rows)


def write_full_pool(length, num_rows, settings):
    """Writes sequences of random tokens, all of one length; returns what write_pool does."""
    numbers = random.Random(length)
    rows = [
        {
            "input_ids": [
                numbers.randrange(_SPECIAL_IDS, settings.vocab_size) for _ in range(length)
            ],
            "segment_ids": [0] * length,
            "label_ids": row % 2,
        }
        for row in range(num_rows)
    ]
    return _write_rows(os.path.join(settings.work_dir, f"full_{length}.jsonl"), rows)


def write_sequences(settings, length):
    """Makes sequences to pre-train on of SQuAD's paragraphs, and a pool of them with masks.

    Returns:
        {"sequences": a pattern for their files, "pool": ...}.
    """
    from albert.pretraining.inputs import open_inputs
    from albert.pretraining.task import PretrainingSettings, PretrainingTask

    prefix = os.path.join(settings.work_dir, f"sequences_{length}")
    with open(settings.squad_file, encoding="utf-8") as file:
        articles = json.load(file)["data"]
    with open(f"{prefix}.txt", "w", encoding="utf-8") as text:
        for article in articles:
            for paragraph in article["paragraphs"]:
                sentences = " ".join(paragraph["context"].split()).split(". ")
                text.write("\n".join(filter(None, sentences)) + "\n")
            text.write("\n")
    flags = {
        "input_file": f"{prefix}.txt",
        "output_file": prefix,
        "spm_model_file": settings.spm_model_file,
        "max_seq_length": length,
    }
    command = [sys.executable, "-m", "albert.create_pretraining_data"]
    command += [f"--{name}={value}" for name, value in flags.items()]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    inputs = {"dev": open_inputs(f"{prefix}-*", "sequences")}
    task = PretrainingTask(inputs, tokenizer_of(settings), PretrainingSettings())
    rows = list(itertools.islice(task.features("dev"), settings.pool_size))
    for row in rows:
        (row["next_sentence_labels"],) = row["next_sentence_labels"]
    return {"sequences": f"{prefix}-*", "pool": _write_rows(f"{prefix}.jsonl", rows)[0]}


def _write_rows(path, rows):
    with open(path, "w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    return path, len(rows), sum(len(row["input_ids"]) for row in rows)


def _evenly_spaced(number, count):
    count = min(number, count)
    return [index * number // count for index in range(count)]


def write_texts(name, settings, size=None):
    """Writes the first training texts of a task as our readers expect them, for conversions.

    Returns:
        {"data_dir": ..., "squad_file": ...}, one of them None, and "num_texts".
    """
    size = size or settings.texts_size or _CONVERTED_SIZE.get(name, 20000)
    folder = os.path.join(settings.work_dir, f"texts_{name}_{size}")
    os.makedirs(folder, exist_ok=True)
    if name == "squad":
        path, num_texts = _first_articles(settings.squad_file, folder, size)
        return {"data_dir": None, "squad_file": path, "num_texts": num_texts}
    subfolder, has_header = GLUE_TASKS[name]
    os.makedirs(os.path.join(folder, subfolder), exist_ok=True)
    source = os.path.join(settings.data_dir, subfolder, "train.tsv")
    with open(source, encoding="utf-8") as lines:
        kept = list(itertools.islice(lines, size + has_header))
    with open(os.path.join(folder, subfolder, "train.tsv"), "w", encoding="utf-8") as copy:
        copy.writelines(kept)
    return {"data_dir": folder, "squad_file": None, "num_texts": len(kept) - has_header}


def _first_articles(squad_file, folder, size):
    with open(squad_file, encoding="utf-8") as file:
        articles = json.load(file)["data"]
    kept, num_questions = [], 0
    for article in articles:
        if num_questions >= size:
            break
        kept.append(article)
        num_questions += sum(len(paragraph["qas"]) for paragraph in article["paragraphs"])
    path = os.path.join(folder, "train.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"version": "1.1", "data": kept}, file)
    return path, num_questions
