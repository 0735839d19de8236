"""The report on runs: one HTML page of curves, confusions and examples."""
