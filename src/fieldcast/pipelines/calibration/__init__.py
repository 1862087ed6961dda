"""The stage `calibration`: background errors and tuned values of a filter."""
