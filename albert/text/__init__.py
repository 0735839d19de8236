"""What text processing needs beyond tokenization."""
