"""The stage `evaluation`: scores of an experiment, and its results for reporting."""
