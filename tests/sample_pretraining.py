"""Text for pre-training, and what is in the files that are made of it."""

import itertools
import json

import tensorflow.compat.v1 as tf


def squad_documents(shared_data, num_documents=None):
    """Returns the articles of SQuAD's dev set as documents: lists of sentences."""
    content = json.loads((shared_data / "squad" / "dev-v1.1.json").read_text(encoding="utf-8"))
    documents = []
    for article in content["data"][:num_documents]:
        contexts = [paragraph["context"].replace("\n", " ") for paragraph in article["paragraphs"]]
        sentences = itertools.chain(*(context.split(". ") for context in contexts))
        documents.append([sentence.strip() for sentence in sentences if sentence.strip()])
    return documents


def text_of(documents):
    """Returns documents, lists of sentences, as the text of a file."""
    return "\n\n".join("\n".join(sentences) for sentences in documents) + "\n"


def examples_in(*paths):
    """Returns the tf.train.Examples in TFRecord files, as {feature: list of values}."""
    examples = []
    for path in paths:
        for record in tf.io.tf_record_iterator(str(path)):
            features = tf.train.Example.FromString(record).features.feature
            examples.append({name: values_of(feature) for name, feature in features.items()})
    return examples


def values_of(feature):
    """Returns the values of a tf.train.Feature."""
    return list(getattr(feature, feature.WhichOneof("kind")).value)
