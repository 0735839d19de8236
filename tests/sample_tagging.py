"""Made-up sentences with names in them, whose tags can be learnt."""

import json
import random

# {type: (words that begin an entity, words that go on with it)}
NAMES = {
    "PER": (("anna", "bert", "carl", "dora"), ("brown", "smith", "jones")),
    "LOC": (("oslo", "paris", "quito", "rome"), ("city", "north", "station")),
}
OTHERS = ("the", "went", "saw", "with", "and", "to", "from", ".")
WORDS = (*OTHERS, *(word for parts in NAMES.values() for words in parts for word in words))


def sentences(num_sentences, seed):
    """Yields (tokens, tags in BIO)."""
    generator = random.Random(seed)
    for _ in range(num_sentences):
        tokens, tags = [], []
        for _ in range(generator.randint(1, 4)):
            name, (first, more) = generator.choice(list(NAMES.items()))
            others = generator.sample(OTHERS, generator.randint(0, 3))
            rest = generator.sample(more, generator.randint(0, 2))
            tokens += [*others, generator.choice(first), *rest]
            tags += ["O"] * len(others) + [f"B-{name}"] + [f"I-{name}"] * len(rest)
        yield tokens, tags


def write_conll(path, found, separator=" "):
    """Writes sentences in four columns, as CoNLL-2003 has them."""
    with path.open("w", encoding="utf-8") as writer:
        writer.write(separator.join(["-DOCSTART-", "-X-", "-X-", "O"]) + "\n\n")
        for tokens, tags in found:
            for token, tag in zip(tokens, tags):
                writer.write(separator.join([token, "-X-", "-X-", tag]) + "\n")
            writer.write("\n")


def write_json_lines(path, found):
    """Writes sentences as JSON Lines."""
    with path.open("w", encoding="utf-8") as writer:
        for tokens, tags in found:
            writer.write(json.dumps({"tokens": tokens, "tags": tags}) + "\n")
