"""Generated passages in the layout of RACE, which tests and their reader share."""

import json
import random

WORDS = [a + b + c for a in "bdklmnprst" for b in "aeiou" for c in ("", "n")]  # 100 of them
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "is", ".", "?", *WORDS]
LEVELS = ("middle", "high")


def passage(identifier, num_questions, generator):
    """Returns a passage of random words, as the dict its file holds."""

    def text(num_words):
        return " ".join(generator.choice(WORDS) for _ in range(num_words))

    return {
        "id": identifier,
        "article": f"{text(12)}. {text(8)}.",
        "questions": [
            f"{text(1).title()} is _ ." if number % 2 else f"What is {text(2)}?"
            for number in range(num_questions)
        ],
        "options": [[text(2) for _ in "ABCD"] for _ in range(num_questions)],
        "answers": [generator.choice("ABCD") for _ in range(num_questions)],
    }


def write_passage(folder, name, content):
    """Writes folder/name, of a dict or of text that is none."""
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text, encoding="utf-8")


def write_split(data_dir, split, num_questions, seed):
    """Writes a split, four questions a passage, half of the passages in each level."""
    generator = random.Random(seed)
    for number in range(num_questions // 4):
        level = LEVELS[number % 2]
        content = passage(f"{level}{number}.txt", 4, generator)
        write_passage(data_dir / "RACE" / split / level, f"{number}.txt", content)
