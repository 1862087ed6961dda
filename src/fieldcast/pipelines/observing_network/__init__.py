"""The stage `observing_network`: simulated observations of successive states of the test split."""
