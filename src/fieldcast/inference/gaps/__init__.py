"""Gaps: a record filled from its own values.

filling     the record filled by the best method, and the report on it
trials      the comparison of methods at held-out values, and its series for figures; race: on samples of the record
stored_fit  all that it takes to fill later times without fitting again; appending: a filled record that grows by them
result      the filled data set; own_units: mapped variables in their own units; calibration: of their distributions
"""
