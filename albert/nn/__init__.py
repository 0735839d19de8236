"""The building blocks of the model and of every head."""
