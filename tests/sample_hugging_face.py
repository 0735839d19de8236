"""Models as Hugging Face transformers saves them, made without it."""

import json

import numpy as np
from safetensors.numpy import save_file

SIZES = {
    "vocab_size": 50,
    "embedding_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_hidden_groups": 2,
    "inner_group_num": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
}
# What AlbertConfig of transformers 5.24 writes besides.
CONFIG = {
    **SIZES,
    "architectures": ["AlbertForPreTraining"],
    "hidden_act": "gelu_new",
    "layer_norm_eps": 1e-12,
    "model_type": "albert",
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def shapes():
    """Returns {name: shape} of AlbertForPreTraining in transformers 5.24."""
    found = {
        "albert.embeddings.word_embeddings.weight": (50, 8),
        "albert.embeddings.position_embeddings.weight": (64, 8),
        "albert.embeddings.token_type_embeddings.weight": (2, 8),
        "albert.embeddings.LayerNorm.weight": (8,),
        "albert.embeddings.LayerNorm.bias": (8,),
        "albert.encoder.embedding_hidden_mapping_in.weight": (16, 8),
        "albert.encoder.embedding_hidden_mapping_in.bias": (16,),
        "albert.pooler.weight": (16, 16),
        "albert.pooler.bias": (16,),
        "predictions.bias": (50,),
        "predictions.LayerNorm.weight": (8,),
        "predictions.LayerNorm.bias": (8,),
        "predictions.dense.weight": (8, 16),
        "predictions.dense.bias": (8,),
        "sop_classifier.classifier.weight": (2, 16),
        "sop_classifier.classifier.bias": (2,),
    }
    modules = {
        "attention.query": (16, 16),
        "attention.key": (16, 16),
        "attention.value": (16, 16),
        "attention.dense": (16, 16),
        "attention.LayerNorm": (16,),
        "ffn": (32, 16),
        "ffn_output": (16, 32),
        "full_layer_layer_norm": (16,),
    }
    for group in (0, 1):
        for module, shape in modules.items():
            name = f"albert.encoder.albert_layer_groups.{group}.albert_layers.0.{module}"
            found.update({f"{name}.weight": shape, f"{name}.bias": shape[:1]})
    return found


def weights(seed=0):
    """Returns {name: random values} of a model."""
    generator = np.random.RandomState(seed)
    return {
        name: (0.2 * generator.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes().items()
    }


def write_model(folder, values=None, **changes):
    """Writes a model, with changes of its configuration; returns its weights."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}), encoding="utf-8")
    values = weights() if values is None else values
    save_file(values, str(folder / "model.safetensors"))
    return values
