"""A small data set in the layout of GLUE's CoLA: is a sentence acceptable?

Half of the sentences follow the grammar below; the others have one fault: a verb or a first
determiner of the wrong number, or two neighbouring words at the beginning the wrong way round. A
noun of either number may stand between subject and verb, so which words there are is not enough: a
model must find the subject.
"""

import random

NUM_SENTENCES = {"train": 20000, "dev": 400, "test": 400}
SEED = 20

NOUNS = "dog cat bird girl boy farmer teacher singer painter horse doctor student".split()
ADJECTIVES = "tall young small happy clever tired quiet brave".split()
VERBS = "see like follow help know find hear paint".split()  # take an object
STATES = "sleep run laugh wait sing work smile".split()  # do not
ADVERBS = "today often quietly again outside".split()
PREPOSITIONS = "near behind with beside".split()
DETERMINERS = {False: ("this", "that", "a", "the"), True: ("these", "those", "some", "the")}


def noun_phrase(random_, is_plural):
    """Returns the words of a determiner, perhaps an adjective, and a noun."""
    words = [random_.choice(DETERMINERS[is_plural])]
    if random_.random() < 0.4:
        words.append(random_.choice(ADJECTIVES))
    return words + [random_.choice(NOUNS) + ("s" if is_plural else "")]


def verb(stem, is_plural):
    """Returns the verb in the third person."""
    return stem if is_plural else stem + "s"


def any_number(random_):
    return random_.random() < 0.5


def sentence(random_, has_wrong_verb=False):
    """Returns the words of a sentence, correct but perhaps for the number of its verb."""
    is_plural = any_number(random_)
    words = noun_phrase(random_, is_plural)
    if random_.random() < 0.4:
        words += [random_.choice(PREPOSITIONS), *noun_phrase(random_, any_number(random_))]
    number_of_verb = is_plural != has_wrong_verb
    if random_.random() < 0.5:
        words.append(verb(random_.choice(STATES), number_of_verb))
    else:
        words.append(verb(random_.choice(VERBS), number_of_verb))
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
    """Returns a sentence in which a word of the first three has changed places with the next."""
    words = sentence(random_)
    place = random_.randrange(2)
    words[place], words[place + 1] = words[place + 1], words[place]
    return words


def make():
    """Returns {split: list of (label, text)}; all sentences are distinct, half are acceptable."""
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
    """Writes the splits in CoLA's columns: source, label, mark, sentence; test: index, sentence."""
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
