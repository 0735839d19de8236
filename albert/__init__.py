"""Fine-tuning ALBERT on one or many GPUs, on TensorFlow 1.15 and 2.15."""
