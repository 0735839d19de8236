"""An HTTP server for a trained model: python -m albert.serve."""
