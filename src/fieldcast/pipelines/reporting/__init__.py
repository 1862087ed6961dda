"""The stage `reporting`: leaderboards and figures of all experiments, and one page about all tasks."""
