"""Federated algorithms and their parts; plain users of the API."""

from .average import Average
from .cyclic import Cyclic
from .digest import weights_digest
from .diloco import DiLoCo
from .dpfedavg import DpFedAvg
from .fedavg import FedAvg
from .fedbuff import FedBuff
from .fedopt import FedAdagrad, FedAdam, FedAvgM, FedOpt, FedYogi
from .fedprox import FedProx
from .keys import Keys, only, without
from .krum import Krum
from .median import CoordinateMedian
from .privacy import add_noise, clip_update, epsilon_spent, noise_multiplier_for
from .proximal import proximal_gradient, proximal_term
from .scaffold import Scaffold
from .trimmed import TrimmedMean
from .weighted import weighted_average

__all__ = [
    "Average",
    "CoordinateMedian",
    "Cyclic",
    "DiLoCo",
    "DpFedAvg",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedBuff",
    "FedOpt",
    "FedProx",
    "FedYogi",
    "Keys",
    "Krum",
    "Scaffold",
    "TrimmedMean",
    "add_noise",
    "clip_update",
    "epsilon_spent",
    "noise_multiplier_for",
    "only",
    "proximal_gradient",
    "proximal_term",
    "weighted_average",
    "weights_digest",
    "without",
]
