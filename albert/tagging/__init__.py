"""What tagging needs: tags, sentences, pieces of tokens, metrics."""
