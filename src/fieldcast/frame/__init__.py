"""The frame of a run: checks before it, runners, errors as sentences, the lock on its data, tracking in MLflow.

commands                    the commands of `fieldcast`
preflight                   checks before the first node; makers: which command makes a data set
parameter_names             which parameters there are; parameter_types: their types; both refuse wrong ones
catalog                     Kedro's catalog, which holds parameters without importing pandas
remote_root                 whether a bucket can be reached
lock                        one run at a time in a data root
conf_source, config_loader  where the configuration is, and how it is read
resumption                  nodes receive their own outputs of an earlier run
cheap_first                 the order of nodes in one process
side_by_side                several nodes at a time: worker runs them, relay passes their events to the hooks
runners                     nodes on a Dask cluster: dask_cluster starts it, dask_node runs on its workers
pickled                     messages between the processes of a run
slurm                       job arrays
console, durations          output of a run; estimates from earlier runs
error_messages, sigterm     errors as one sentence each; SIGTERM as an exception
suggested_commands          the commands in messages, with this session's options
doctor, configured_options  faults of the data under a data root, and commands that repair them
tracking                    MLflow
"""
