"""Makes two small data sets and a SentencePiece vocabulary for both.

    python examples/make_data.py --output_dir=example_data

writes CoLA/{train,dev,test}.tsv (see sentences.py), SQuAD/{train,dev}-v2.0.json (see questions.py),
spm.model and spm.vocab. The data is the same every time.
"""

import argparse
import itertools
import json
import os
import pathlib

import questions
import sentencepiece
import sentences

CONFIG = pathlib.Path(__file__).with_name("albert_config.json")
SPECIAL_PIECES = ["[CLS]", "[SEP]", "[MASK]"]  # ids 2 to 4, after <pad> and <unk>


def train_vocabulary(texts, prefix):
    """Writes prefix.model and prefix.vocab, with the vocabulary size of the configuration."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(text.lower() for text in texts),
        model_prefix=str(prefix),
        model_type="bpe",  # with so few words, the pieces become whole words
        vocab_size=json.loads(CONFIG.read_text(encoding="utf-8"))["vocab_size"],
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        control_symbols=SPECIAL_PIECES,
        num_threads=1,
        minloglevel=2,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output_dir", required=True, type=pathlib.Path)
    output_dir = parser.parse_args().output_dir
    acceptable, paragraphs = sentences.make(), questions.make()
    sentences.write(acceptable, output_dir / "CoLA")
    questions.write(paragraphs, output_dir / "SQuAD")
    texts = itertools.chain(
        (text for _, text in acceptable["train"]), questions.texts_of(paragraphs["train"])
    )
    train_vocabulary(texts, output_dir / "spm")
    print(f"{output_dir}{os.sep}:")
    for name, splits, unit in (
        ("CoLA", acceptable, "sentences"),
        ("SQuAD", paragraphs, "contexts"),
    ):
        counts = ", ".join(f"{split} {len(rows)}" for split, rows in splits.items())
        print(f"  {name:8}{counts} {unit}")


if __name__ == "__main__":
    main()
