"""How fast, against what: every row is a ratio of medians measured in turn in one run."""
