"""A small data set in the layout of GLUE's CoLA: is a sentence acceptable?

Half of the sentences follow the grammar below. Each of the others has one fault:
- a verb of the wrong number,
- a first determiner of the wrong number,
- two neighbouring words at the beginning in the wrong order.

A noun of either number may come between subject and verb, so that it is not enough to look at which
words there are: a model must find the subject.
"""

import random

NUM_SENTENCES = {"train": 20000, "dev": 400, "test": 400}
SEED = 20

NOUNS = "dog cat bird girl boy farmer teacher singer painter horse doctor student".split()
ADJECTIVES = "tall young small happy clever tired quiet brave".split()
TRANSITIVE_VERBS = "see like follow help know find hear paint".split()
INTRANSITIVE_VERBS = "sleep run laugh wait sing work smile".split()
ADVERBS = "today often quietly again outside".split()
PREPOSITIONS = "near behind with beside".split()
DETERMINERS = {False: ("this", "that", "a", "the"), True: ("these", "those", "some", "the")}


def noun_phrase(random_, is_plural):
    """Returns the words of a noun phrase: a determiner, perhaps an adjective, and a noun."""
    words = [random_.choice(DETERMINERS[is_plural])]
    if random_.random() < 0.4:
        words.append(random_.choice(ADJECTIVES))
    return words + [random_.choice(NOUNS) + ("s" if is_plural else "")]


def verb(stem, is_plural):
    """Returns a verb in the third person."""
    return stem if is_plural else stem + "s"


def any_number(random_):
    return random_.random() < 0.5


def sentence(random_, has_wrong_verb=False):
    """Returns the words of a sentence; only the number of its verb may be wrong."""
    is_plural = any_number(random_)
    words = noun_phrase(random_, is_plural)
    if random_.random() < 0.4:
        words += [random_.choice(PREPOSITIONS), *noun_phrase(random_, any_number(random_))]
    number_of_verb = is_plural != has_wrong_verb
    if random_.random() < 0.5:
        words.append(verb(random_.choice(INTRANSITIVE_VERBS), number_of_verb))
    else:
        words.append(verb(random_.choice(TRANSITIVE_VERBS), number_of_verb))
        words += noun_phrase(random_, any_number(random_))
    if random_.random() < 0.3:
        words.append(random_.choice(ADVERBS))
    return words


def with_wrong_determiner(random_):
    """Returns a sentence whose first determiner has the other number."""
    other = {"this": "these", "that": "those", "a": "some"}
    other.update({plural: singular for singular, plural in other.items()})
    while True:
        first, *rest = sentence(random_)
        if first in other:
            return [other[first], *rest]


def with_wrong_order(random_):
    """Returns a sentence with its first two words swapped, or its second and third."""
    words = sentence(random_)
    index = random_.randrange(2)
    words[index], words[index + 1] = words[index + 1], words[index]
    return words


def make():
    """Returns {split: list of (label, text)}. All texts differ; half have label 1, acceptable."""
    random_ = random.Random(SEED)
    faulty = (
        lambda: sentence(random_, has_wrong_verb=True),
        lambda: with_wrong_determiner(random_),
        lambda: with_wrong_order(random_),
    )
    seen, splits = set(), {}
    for split, count in NUM_SENTENCES.items():
        rows = []
        while len(rows) < count:
            label = 1 - len(rows) % 2
            text = " ".join(sentence(random_) if label else random_.choice(faulty)())
            if text not in seen:
                seen.add(text)
                rows.append((label, text))
        random_.shuffle(rows)
        splits[split] = rows
    return splits


def write(splits, folder):
    """Writes files with CoLA's columns: source, label, mark, sentence; in test: index, sentence."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        if split == "test":
            lines = [
                "index\tsentence",
                *(f"{index}\t{text}" for index, (_, text) in enumerate(rows)),
            ]
        else:
            lines = [f"made\t{label}\t{'' if label else '*'}\t{text}" for label, text in rows]
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
