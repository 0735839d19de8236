"""The tiny model that tests share."""

import numpy as np
import sentencepiece
import tensorflow.compat.v1 as tf

from albert import modeling

SIZES = {
    "vocab_size": 50,
    "embedding_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}


def config(**changes):
    """Returns the AlbertConfig of 2 layers and hidden size 16, without dropout."""
    return modeling.AlbertConfig(**dict(SIZES, **changes))


def write_model(folder, left_out=None, **changes):
    """Writes albert_config.json and a checkpoint of random values, model.ckpt-best, into a folder.

    Args:
        left_out: name of a variable that the checkpoint lacks.
        changes: of the configuration.
    """
    tiny_config = config(**changes)
    (folder / "albert_config.json").write_text(tiny_config.to_json_string(), encoding="utf-8")
    generator = np.random.RandomState(0)
    with tf.Graph().as_default(), tf.Session() as session:
        modeling.AlbertModel(tiny_config, False, tf.zeros([1, 4], tf.int32))
        kept = [v for v in tf.global_variables() if v.op.name != left_out]
        for variable in kept:
            variable.load(0.2 * generator.standard_normal(variable.shape.as_list()), session)
        saver = tf.train.Saver(kept)
        saver.save(
            session, str(folder / "model.ckpt-best"), write_meta_graph=False, write_state=False
        )


def train_sentencepiece(sentences, **more):
    """Trains a SentencePiece model of some 50 pieces; `more` says where to, and symbols."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        vocab_size=60,
        hard_vocab_limit=False,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        num_threads=1,
        minloglevel=2,
        **more,
    )


def write_vocabulary(folder, words):
    """Writes a SentencePiece model of words as 30k-clean.model and .vocab; returns its size."""
    train_sentencepiece(
        [*words] * 3,
        model_prefix=str(folder / "30k-clean"),
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
    )
    return len((folder / "30k-clean.vocab").read_text(encoding="utf-8").splitlines())
