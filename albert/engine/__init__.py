"""The engine: trains a task, evaluates its checkpoints and predicts, on any number of devices."""
