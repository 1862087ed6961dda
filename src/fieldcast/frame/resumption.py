"""Pass nodes their own outputs of an earlier run, which an acyclic graph cannot express."""

from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline.node import Node

EARLIER = "params:earlier"  # the input of a node that resumes


class Resumption:
    """Fills the input `params:earlier` of a node with {output: value of an earlier run}.

    The outputs are those with `metadata: {resume: true}` in the catalog, named as in their stage; the value is the
    result of `earlier` of the data set. Without this hook a node has nothing to resume from, and starts anew.
    """

    acts_on_data = True  # where a node runs in another process, this hook does, too

    @hook_impl
    def before_node_run(self, node: Node, catalog: CatalogProtocol) -> dict[str, Any] | None:
        """Replace the empty parameter."""
        if EARLIER not in node.inputs:
            return None
        datasets: dict[str, Any] = {name.rpartition(".")[2]: catalog.get(name) for name in node.outputs}
        return {
            EARLIER: {
                name: dataset.earlier()
                for name, dataset in datasets.items()
                if (getattr(dataset, "metadata", None) or {}).get("resume")
            }
        }
