"""The parts that the model and all heads are made of."""
