"""What SQuAD 1.1 and 2.0 need: files, features, heads, decoding, metrics and versions."""
