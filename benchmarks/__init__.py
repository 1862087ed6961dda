"""Speed and skill against peers, one command each: `python -m benchmarks.<name>`."""
