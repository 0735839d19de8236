"""What every package may use: errors, files, JSON, worker processes and the console."""
