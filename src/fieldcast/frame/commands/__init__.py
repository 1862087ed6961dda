"""The commands of `fieldcast`, which `fieldcast.cli` gathers.

run                `run`, with the runners of this package
on_files           `fill`, `fill-gaps`, `grid-stations`, `predict` and `cycle`
doctor             `doctor`
export             `export`
slurm              `slurm`
parameter_options  options that set parameters
interruption       Ctrl-C and SIGTERM
"""
