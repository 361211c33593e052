"""Federated algorithms and their parts; plain users of the API."""

from .average import Average
from .digest import weights_digest
from .fedavg import weighted_average

__all__ = ["Average", "weighted_average", "weights_digest"]
