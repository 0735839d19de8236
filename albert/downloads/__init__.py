"""Downloads of data sets and pre-trained models."""
