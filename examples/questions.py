"""A small data set in the layout of SQuAD 2.0: who gave what to whom, where, when, and who saw it.

The wording of a context varies, and some facts are left out; a question about a missing fact has no
answer. A context may contain three names, so a model must read who did what.
"""

import json
import random

NUM_CONTEXTS = {"train": 2000, "dev": 100}
SEED = 3

NAMES = "Ann Bob Eve Tom Kim Sam Joe Pat Liz Max".split()
COLOURS = "red blue green white black".split()
THINGS = "ball book lamp hat cup key drum kite".split()
PLACES = "garden kitchen school forest market station".split()
DAYS = "Monday Tuesday Friday Sunday".split()

ORDERS = (
    "{giver} gave the {thing} to {taker}",
    "{taker} got the {thing} from {giver}",
    "the {thing} was given to {taker} by {giver}",
)
QUESTIONS = {
    "giver": "Who gave the {thing}?",
    "taker": "Who got the {thing}?",
    "thing": "What did {taker} get?",
    "place": "Where did {taker} get the {thing}?",
    "day": "When did {taker} get the {thing}?",
    "witness": "Who saw it?",
}
FRACTION_GIVEN = 2 / 3  # of contexts with a place; the same for a day and a witness


def make_context(random_):
    """Returns (context, {kind of fact: its words in the context})."""
    giver, taker, witness = random_.sample(NAMES, 3)
    thing = f"{random_.choice(COLOURS)} {random_.choice(THINGS)}"
    facts = {"giver": giver, "taker": taker, "thing": thing}
    text = random_.choice(ORDERS).format(**facts)
    if random_.random() < FRACTION_GIVEN:
        facts["place"] = random_.choice(PLACES)
        text += f" in the {facts['place']}"
    if random_.random() < FRACTION_GIVEN:
        facts["day"] = day = random_.choice(DAYS)
        text = random_.choice([f"on {day} {text}", f"{text} on {day}"])
    text = f"{text[0].upper()}{text[1:]}."
    if random_.random() < FRACTION_GIVEN:
        facts["witness"] = witness
        text = random_.choice([f"{witness} was there. {text}", f"{text} {witness} saw it."])
    return text, facts


def make_paragraph(random_, name):
    """Returns a SQuAD paragraph with one question of each kind."""
    context, facts = make_context(random_)
    named = dict(facts, thing=facts["thing"].split()[-1])
    return {
        "context": context,
        "qas": [
            {
                "id": f"{name}-{kind}",
                "question": question.format(**named),
                "is_impossible": kind not in facts,
                "answers": [
                    {"text": text, "answer_start": context.index(text)}
                    for text in [facts.get(kind)]
                    if text
                ],
            }
            for kind, question in QUESTIONS.items()
        ],
    }


def make():
    """Returns {split: list of paragraphs}."""
    random_ = random.Random(SEED)
    return {
        split: [make_paragraph(random_, f"{split}{number}") for number in range(count)]
        for split, count in NUM_CONTEXTS.items()
    }


def texts_of(paragraphs):
    """Yields all contexts and questions."""
    for paragraph in paragraphs:
        yield paragraph["context"]
        for row in paragraph["qas"]:
            yield row["question"]


def write(splits, folder):
    """Writes train-v2.0.json and dev-v2.0.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, paragraphs in splits.items():
        data = {"version": "v2.0", "data": [{"title": "Made", "paragraphs": paragraphs}]}
        path = folder / f"{split}-v2.0.json"
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
