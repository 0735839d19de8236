"""Tests of albert.conversion.names, against names written by hand."""

import sample_hugging_face

from albert.conversion import names

LAYER = "encoder.albert_layer_groups.1.albert_layers.0."
OUR_LAYER = "bert/encoder/transformer/group_1/inner_group_0/"
EXPECTED = {  # {name: (ours, whether it is transposed)}, as the released checkpoints have them
    "embeddings.word_embeddings.weight": ("bert/embeddings/word_embeddings", False),
    "embeddings.position_embeddings.weight": ("bert/embeddings/position_embeddings", False),
    "embeddings.token_type_embeddings.weight": ("bert/embeddings/token_type_embeddings", False),
    "embeddings.LayerNorm.weight": ("bert/embeddings/LayerNorm/gamma", False),
    "embeddings.LayerNorm.bias": ("bert/embeddings/LayerNorm/beta", False),
    "encoder.embedding_hidden_mapping_in.weight": (
        "bert/encoder/embedding_hidden_mapping_in/kernel",
        True,
    ),
    "pooler.weight": ("bert/pooler/dense/kernel", True),
    "pooler.bias": ("bert/pooler/dense/bias", False),
    LAYER + "attention.query.weight": (OUR_LAYER + "attention_1/self/query/kernel", True),
    LAYER + "attention.key.bias": (OUR_LAYER + "attention_1/self/key/bias", False),
    LAYER + "attention.value.weight": (OUR_LAYER + "attention_1/self/value/kernel", True),
    LAYER + "attention.dense.weight": (OUR_LAYER + "attention_1/output/dense/kernel", True),
    LAYER + "attention.LayerNorm.weight": (OUR_LAYER + "LayerNorm/gamma", False),
    LAYER + "ffn.weight": (OUR_LAYER + "ffn_1/intermediate/dense/kernel", True),
    LAYER + "ffn_output.weight": (OUR_LAYER + "ffn_1/intermediate/output/dense/kernel", True),
    LAYER + "full_layer_layer_norm.bias": (OUR_LAYER + "LayerNorm_1/beta", False),
    "predictions.bias": ("cls/predictions/output_bias", False),
    "predictions.dense.weight": ("cls/predictions/transform/dense/kernel", True),
    "predictions.LayerNorm.bias": ("cls/predictions/transform/LayerNorm/beta", False),
    "sop_classifier.classifier.weight": ("cls/seq_relationship/output_weights", False),
    "classifier.weight": ("output_weights", False),
    "classifier.bias": ("output_bias", False),
    "qa_outputs.weight": ("cls/squad/output_weights", False),
}


def test_names_are_those_of_the_released_checkpoints():
    assert names.of_hugging_face(EXPECTED) == EXPECTED


def test_the_prefix_of_the_encoder_and_the_words_of_old_releases_make_no_difference():
    old = {
        "albert.embeddings.AlbertLayerNorm.gamma": "bert/embeddings/LayerNorm/gamma",
        "embeddings.LayerNorm.beta": "bert/embeddings/LayerNorm/beta",
        "albert." + LAYER + "ffn.bias": OUR_LAYER + "ffn_1/intermediate/dense/bias",
    }
    found = names.of_hugging_face(old)
    assert {name: variable.name for name, variable in found.items()} == old


def test_copies_are_left_out_and_unknown_names_are_told():
    given = [
        "predictions.decoder.weight",
        "predictions.decoder.bias",
        "albert.embeddings.position_ids",
    ]
    assert names.of_hugging_face([*given, "albert.adapter.weight", "ffn.weight"]) == {
        "albert.adapter.weight": None,
        "ffn.weight": None,
    }


def test_every_name_of_a_whole_model_is_known():
    found = names.of_hugging_face(sample_hugging_face.shapes())
    ours = [variable.name for variable in found.values()]
    assert len(set(ours)) == len(ours) == len(sample_hugging_face.shapes())
