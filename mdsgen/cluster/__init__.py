"""Films rendered on a Ray cluster, whose machines read and write the same paths; the extra ``cluster`` brings Ray."""

from mdsgen.cluster.batch import ClusterBatch, open_cluster
from mdsgen.cluster.tasks import open_tasks

__all__ = ["ClusterBatch", "open_cluster", "open_tasks"]
