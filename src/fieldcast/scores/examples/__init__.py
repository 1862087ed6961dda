"""The few fields that an evaluation stores for figures, so that no report has to read them all.

`reconstruction`, `forecast` and `sample`: a module for each task.
"""
