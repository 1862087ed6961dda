"""The few fields that an evaluation stores to be looked at, so that no report has to read them all."""
