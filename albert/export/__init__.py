"""Writes trained models for other programs: SavedModel, Hugging Face transformers, ONNX."""
