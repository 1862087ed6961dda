"""Stages: thin nodes that call the library, and pipelines that name what goes in and out.

A package for each stage, and:

assembly     the pipeline of an experiment from its stages
on_demand    pipelines that are built when they are first asked for
names        the names of data sets and arguments that pipelines share
parameters   types of parameters
steps        nodes from the steps of a task
streams      nodes with several outputs that are written again and again
"""
