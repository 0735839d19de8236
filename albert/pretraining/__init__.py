"""Pre-training: sentences to sequences, masks, and the heads of both objectives."""
