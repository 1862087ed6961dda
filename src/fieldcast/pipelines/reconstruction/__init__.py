"""The stage `reconstruction`: ensembles of fields that fit the stored observations."""
