"""The stage `features`: features in which sets of states are compared, fitted once for each data set."""
