"""What RACE needs: its files."""
