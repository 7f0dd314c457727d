"""`make demo`: the whole story on real data, one step a function."""
