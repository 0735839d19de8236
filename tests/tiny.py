"""The tiny model that tests share."""

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
