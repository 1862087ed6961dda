"""The commands that `fieldcast.cli` adds to Kedro's.

on_files  a command for each record of `fieldcast.inference.file_options`, such as `fill`
doctor    `doctor`
explore   `explore`
export    `export`
"""
