"""A task on random sequences for tests of the engine."""

import numpy as np
import tensorflow.compat.v1 as tf

from albert.engine.task import INPUT_IDS, DataSource, Feature, Task
from albert.glue.classification import classification_logits
from albert.glue.labels import softmax_output


class TinyTask(Task):
    """Two classes of random sequences, the same in every run; it writes no predictions."""

    name = "tiny"
    best_metric = "number"
    num_examples = 10
    lengths = (3, 9)
    dropout_prob = 0.1

    def fingerprint(self, split):
        return {"split": split}

    def source(self, split):
        return DataSource(split, "all")

    def features(self, split):
        random = np.random.RandomState(len(split))
        for _ in range(self.num_examples):
            length = random.randint(*self.lengths)
            yield {
                INPUT_IDS: random.randint(1, 50, size=length).tolist(),
                "segment_ids": sorted(random.randint(0, 2, size=length).tolist()),
                "label_ids": int(random.randint(0, 2)),
            }

    def feature_spec(self):
        return {
            INPUT_IDS: Feature(tf.int32),
            "segment_ids": Feature(tf.int32),
            "label_ids": Feature(tf.int32, is_sequence=False),
        }

    def head(self, model, features, is_training):
        logits = classification_logits(model, 2, self.dropout_prob)
        return softmax_output(logits, features["label_ids"])

    def evaluate(self, predictions, metrics=None):
        return {"number": float(len(predictions["dev"]))}

    def comparisons(self, split, rows, metrics):
        return ({"gold": 0, "predicted": row["probabilities"].tolist()} for row in rows)

    def write_predictions(self, predictions, output_dir, metrics=None):
        return []
