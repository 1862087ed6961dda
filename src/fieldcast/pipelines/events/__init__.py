"""The stage `events`: thresholds of events, from the training split."""
