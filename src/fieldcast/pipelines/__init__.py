"""Stages: thin nodes that call the library, and pipelines that name what goes in and out."""
