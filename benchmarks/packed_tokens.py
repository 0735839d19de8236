"""Measures how much faster training is with packed tokens, which leave out the padding.

    python -m benchmarks.packed_tokens --data_dir=glue_data \
        --vocab_file=30k-clean.vocab --spm_model_file=30k-clean.model

Trains on each batch of CoLA three times: with packed tokens, padded to its longest example, and
padded to --max_seq_length; then on batches that have no padding. A ratio compares two consecutive
steps on the same batch, so that other load on the machine affects both. No checkpoint is needed,
because the time does not depend on the weights.
"""

import argparse
import collections
import itertools
import sys
import tempfile
import time

import numpy as np

from albert.cli.quiet import quiet_tensorflow

quiet_tensorflow()

import tensorflow.compat.v1 as tf  # noqa: E402

from albert import custom_optimization, tokenization  # noqa: E402
from albert.classifier_utils import make_task  # noqa: E402
from albert.engine import devices  # noqa: E402
from albert.engine.input_pipeline import cached_features, train_dataset  # noqa: E402
from albert.engine.model_fn import build  # noqa: E402
from albert.engine.task import INPUT_IDS, INPUT_MASK  # noqa: E402
from albert.modeling import AlbertConfig  # noqa: E402

SIZES = {  # of the published models, version 2
    "base": {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
    "large": {
        "hidden_size": 1024,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
    },
}


class Trainer:
    """A training step with its own graph and session."""

    def __init__(self, task, config, packed_tokens, device):
        with tf.Graph().as_default(), tf.device(device):
            spec = dict(task.feature_spec())
            spec[INPUT_MASK] = spec[INPUT_IDS]
            self._inputs = {
                name: tf.placeholder(feature.dtype, [None, None] if feature.is_sequence else [None])
                for name, feature in spec.items()
            }
            output = build(
                task,
                config,
                self._inputs,
                is_training=True,
                dropout_seed=tf.constant([0, 0], tf.int64),
                packed_tokens=packed_tokens,
            )
            self._update = custom_optimization.create_optimizer(output.loss_sums[0], 1e-5, 1000, 0)
            self._session = tf.Session(config=devices.session_config([device]))
            self._session.run(tf.global_variables_initializer())

    def seconds(self, batch):
        """Returns how long one update on a batch takes."""
        started = time.perf_counter()
        self._session.run(self._update, {self._inputs[name]: batch[name] for name in self._inputs})
        return time.perf_counter() - started


def batches_of(task, batch_size):
    """Yields a task's training batches, {name: NumPy array}, padded to their longest example."""
    with tempfile.TemporaryDirectory() as folder, tf.Graph().as_default():
        cached = cached_features(folder, "train", {}, lambda: task.features("train"))
        dataset = train_dataset(cached, task.feature_spec(), batch_size, seed=1)
        batch = tf.data.make_one_shot_iterator(dataset).get_next()
        with tf.Session() as session:
            while True:
                yield session.run(batch)


def padded_to(batch, length):
    """Returns a batch with its sequences padded to a length."""
    return {
        name: np.pad(value, [(0, 0), (0, length - value.shape[1])], mode="constant")
        if value.ndim == 2
        else value
        for name, value in batch.items()
    }


def filled(batch, length):
    """Returns a batch with each sequence repeated up to a length, so that there is no padding."""
    full = {name: np.resize(value, (len(value), length)) for name, value in batch.items()}
    full[INPUT_MASK] = np.ones_like(full[INPUT_IDS])
    return {name: full[name] if value.ndim == 2 else value for name, value in batch.items()}


def measure(batches, variants, num_rounds):
    """Returns {variant: seconds in each round}; a round runs all variants on the same batch.

    Args:
        batches: iterator of batches.
        variants: {name: (Trainer, function that turns a batch into the one to train on)}.
    """
    seconds = collections.defaultdict(list)
    for round_number, batch in enumerate(itertools.islice(batches, num_rounds + 1)):
        for name, (trainer, prepare) in variants.items():
            taken = trainer.seconds(prepare(batch))
            if round_number:  # the first round allocates memory and tunes kernels
                seconds[name].append(taken)
    return seconds


def report(title, seconds, batch_size):
    """Prints the examples/s of each variant, and its time relative to the first variant."""
    print(f"\n{title}")
    print(f"{'':24}{'examples/s':>12}{'ratio':>8}  {'(10 % to 90 %)'}")
    first = np.array(next(iter(seconds.values())))
    for name, values in seconds.items():
        ratios = np.array(values) / first
        low, high = np.percentile(ratios, [10, 90])
        print(
            f"{name:24}{batch_size / np.median(values):12.1f}{np.median(ratios):8.2f}"
            f"  ({low:.2f} to {high:.2f})",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_dir", required=True, help="folder that holds CoLA/")
    parser.add_argument("--vocab_file", required=True)
    parser.add_argument("--spm_model_file", required=True)
    parser.add_argument("--size", choices=sorted(SIZES), default="base")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--max_seq_length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="/cpu:0", help="/gpu:0 for a GPU")
    arguments = parser.parse_args()

    devices.prepare()
    length = arguments.max_seq_length
    tokenizer = tokenization.FullTokenizer(
        arguments.vocab_file, spm_model_file=arguments.spm_model_file
    )
    task = make_task("cola", arguments.data_dir, tokenizer, length)
    config = AlbertConfig(tokenizer.vocab_size, **SIZES[arguments.size])
    packed = Trainer(task, config, True, arguments.device)
    padded = Trainer(task, config, False, arguments.device)
    batches = batches_of(task, arguments.batch_size)
    print(f"TensorFlow {tf.__version__}, Python {sys.version.split()[0]}, {arguments.device}")
    as_it_is = {
        "packed": (packed, lambda batch: batch),
        "padded to the longest": (padded, lambda batch: batch),
        f"padded to {length}": (padded, lambda batch: padded_to(batch, length)),
    }
    without_padding = {
        "packed": (packed, lambda batch: filled(batch, length)),
        "padded": (padded, lambda batch: filled(batch, length)),
    }
    title = f"ALBERT {arguments.size}, batch {arguments.batch_size}"
    seconds = measure(batches, as_it_is, arguments.rounds)
    report(f"{title}, CoLA", seconds, arguments.batch_size)
    seconds = measure(batches, without_padding, arguments.rounds)
    report(f"{title}, all sequences {length} tokens long", seconds, arguments.batch_size)


if __name__ == "__main__":
    main()
