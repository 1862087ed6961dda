"""Stages: thin nodes that call the library, and pipelines that name what goes in and out.

`streams` is what nodes with several outputs, written again and again, have in common.
"""
