"""Federated algorithms and their parts; plain users of the API."""

from .digest import weights_digest
from .fedavg import weighted_average

__all__ = ["weighted_average", "weights_digest"]
