"""Components of networks and losses that no configuration names: convolutions, couplings, filters, CRPS."""
