"""Stages: thin nodes that call the library, and pipelines that name what goes in and out.

A package for each stage; one for each task, with its nodes in the stages that all tasks have; and:

names        the names of data sets and arguments that pipelines share
streams      nodes with several outputs that are written again and again
"""

import multiprocessing

from fieldcast.runtime import end_with_parent

# a worker that a runner has spawned imports the nodes first; Kedro calls no hook in it
if multiprocessing.parent_process() is not None:
    end_with_parent()
