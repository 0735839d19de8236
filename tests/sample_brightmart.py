"""Models as brightmart's albert_zh saves them."""

import json

import numpy as np

from albert.conversion import checkpoint

HIDDEN, INNER, HEADS, LAYERS, VOCABULARY = 16, 32, 2, 3, 20
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "embedding_size": 8,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": INNER,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
}


def weights():
    """Returns {name in albert_zh: values}."""
    layer = "bert/encoder/layer_shared"
    dense = {
        f"{layer}/attention/self/query": (HIDDEN, HIDDEN),
        f"{layer}/attention/self/key": (HIDDEN, HIDDEN),
        f"{layer}/attention/self/value": (HIDDEN, HIDDEN),
        f"{layer}/attention/output/dense": (HIDDEN, HIDDEN),
        f"{layer}/intermediate/dense": (HIDDEN, INNER),
        f"{layer}/output/dense": (INNER, HIDDEN),
        "bert/pooler/dense": (HIDDEN, HIDDEN),
    }
    shapes = {
        "bert/embeddings/word_embeddings": (VOCABULARY, 8),
        "bert/embeddings/word_embeddings_2": (8, HIDDEN),
        "bert/embeddings/token_type_embeddings": (2, HIDDEN),
        "bert/embeddings/position_embeddings": (40, HIDDEN),
        "cls/predictions/output_bias": (VOCABULARY,),
    }
    shapes["bert/pooler/dense/kernel/adam_m"] = (HIDDEN, HIDDEN)
    for name, shape in dense.items():
        shapes.update({f"{name}/kernel": shape, f"{name}/bias": shape[1:]})
    for name in ("bert/embeddings", f"{layer}/attention/output", f"{layer}/output"):
        shapes.update({f"{name}/LayerNorm/{part}": (HIDDEN,) for part in ("beta", "gamma")})
    generator = np.random.RandomState(0)
    return {
        name: (0.3 * generator.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def write_model(folder):
    """Writes a model into a new folder."""
    folder.mkdir()
    checkpoint.write_checkpoint(str(folder / "albert_model.ckpt"), weights())
    (folder / "albert_config_tiny.json").write_text(json.dumps(SIZES), encoding="utf-8")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmno"]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
