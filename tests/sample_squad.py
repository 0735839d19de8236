"""SQuAD files made for tests: generated ones to train on, and one question alone."""

import json
import random

NAMES = ("ann", "bob", "eve", "max", "kim")
SONGS = ("hymn", "waltz", "blues", "polka", "march")
VOCABULARY = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "does", "sing", "sings", "a", ".", "?"),
    *NAMES,
    *SONGS,
)


def write_squad(path, num_paragraphs, seed, version, has_answers=True):
    """Writes paragraphs of three facts with a question on each; in 2.0 also an impossible one."""
    generator = random.Random(seed)
    paragraphs = []
    for number in range(num_paragraphs):
        *singers, absent = generator.sample(NAMES, 4)
        songs = generator.sample(SONGS, 3)
        context = " ".join(f"{who.title()} sings a {song}." for who, song in zip(singers, songs))
        rows = []
        for who, song in zip(singers, songs):
            answer = {"text": song, "answer_start": context.index(song)}
            rows.append((who, [answer] if has_answers else [], False))
        if version == "2.0":
            rows.append((absent, [], True))
        questions = []
        for who, answers, is_impossible in rows:
            question = {"id": f"{number}-{who}", "question": f"What does {who.title()} sing?"}
            question["answers"] = answers
            if version == "2.0":
                question["is_impossible"] = is_impossible
            questions.append(question)
        paragraphs.append({"context": context, "qas": questions})
    data = {"version": version, "data": [{"title": "songs", "paragraphs": paragraphs}]}
    path.write_text(json.dumps(data), encoding="utf-8")


def predictions_of(task, outputs):
    """Returns the predictions of a model, given what its head returns for each window.

    Rows come as from the Predictor: beside the outputs stand the features that are no input.
    """
    spec = task.feature_spec()
    windows = list(task.features("predict"))
    assert len(windows) == len(outputs)
    rows = []
    for features, output in zip(windows, outputs):
        passed_on = {name: features[name] for name in spec if not spec[name].is_input}
        rows.append(dict(passed_on, **output))
    return {"predict": rows}


def one_question(**changes):
    """Returns the contents of a file with one question, whose row has these changes."""
    row = {"id": "q1", "question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}]}
    row.update(changes)
    paragraph = {"context": "Ann sings.", "qas": [row]}
    return {"version": "1.1", "data": [{"title": "t", "paragraphs": [paragraph]}]}


def write_json(path, value):
    """Writes a value as JSON, a str as it is; returns the path as a str."""
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return str(path)
