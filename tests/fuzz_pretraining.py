"""What fuzz_readers.py feeds of pre-training: text, plain and compressed, and manifests."""

import gzip
import json

from fuzz_feed import Reader

from albert.pretraining import creation, manifest, segments, shards

TEXT = "Hello world.\r\nIt was 2015, or so.\n\n中 文\n[MASK] <pad>\n\nalone\n" * 3
PAIRS = segments.PairSettings(max_seq_length=16)


def make_readers(tokenizer):
    """Returns {name: Reader}."""
    text = TEXT.encode()
    shard = dict.fromkeys(manifest.Shard._fields, 0)
    shard.update(file="P-00000.tf_record", num_bytes=3, source_sha256="ab")
    content = {
        "format_version": 1,
        "layout": "sequences",
        "is_complete": True,
        "max_seq_length": 16,
        "vocab_size": 50,
        "tokenizer": {"vocabulary": "cd", "do_lower_case": True},
        "settings": {"random_seed": 1},
        "vocabulary": {"sha256": "ef"},
        "inputs": [{"path": "text", "num_bytes": 1, "sha256": "01"}],
        "shards": [shard],
    }

    def create(folder):
        recipe = shards.Recipe(tokenizer, PAIRS, None)
        data_set = creation.DataSet(str(folder / "P"), [str(folder / "text")], recipe, 100, None)
        creation.create(data_set, 1)

    def resume(folder):
        (folder / "text").write_bytes(text)
        create(folder)

    def find(folder):
        for found in manifest.find(str(folder / "P*"), "input_file"):
            if not isinstance(found, str):
                found.shard_paths(), found.total("num_sequences")

    written = json.dumps(content).encode()
    return {
        "text to pre-train on": Reader({"text": text}, create),
        "compressed text to pre-train on": Reader({"text": gzip.compress(text)}, create),
        "manifest": Reader({"P.manifest.json": written, "P-00000.tf_record": b"abc"}, find),
        "manifest to resume": Reader({"P.manifest.json": written}, resume),
    }
