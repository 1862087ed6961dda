"""The stage `sparsification`: simulated observations of the test split."""
