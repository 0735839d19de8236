"""The command line: flags, recipes, help and how a program starts and ends."""
