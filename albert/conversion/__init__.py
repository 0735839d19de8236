"""Models of other programs, in the layout of google-research/albert."""
