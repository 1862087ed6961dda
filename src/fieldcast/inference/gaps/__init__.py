"""Gaps: a record filled from its own values.

filling  `fill_gaps`: the record filled by the best method
trials   the comparison of methods at values that they do not see, and its series for figures
result   the filled data set
report   the report on it
"""
