"""The stage `sampling`: states drawn without a context; likelihoods and reconstructions of real states."""
