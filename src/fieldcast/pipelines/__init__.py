"""Stages: thin nodes that call the library, and pipelines that name what goes in and out.

`names` encodes what a data set belongs to in its name, and decodes it; `steps` makes nodes of the steps of a task;
`streams` serves nodes with several outputs that are written again and again.
"""
