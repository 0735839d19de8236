"""Generated paragraphs and questions in the layout of SQuAD, which tests share."""

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
    """Writes paragraphs of three facts, each with a question on every one, in 2.0 one on none."""
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
