"""The application around the library: checks, runners, errors as sentences, the lock on the data, tracking in MLflow.

commands                    the commands beside Kedro's
preflight                   checks before the first node, also of a bucket; makers: which command makes a data set
parameters                  the model of all parameters, against which a run is checked
configuration_page          docs/configuration.md, from the classes of options
lock                        one run at a time in a data root
conf_source                 the session in force, where its configuration is, and its options in suggested commands
processes                   threads of a run's workers, and the end of a run by Ctrl-C or SIGTERM
dask                        nodes on a Dask cluster
console                     output of a run
error_messages              errors as one sentence each
doctor                      faults of the data under a data root, and commands that repair them
tracking                    MLflow
"""
