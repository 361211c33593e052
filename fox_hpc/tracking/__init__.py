"""Tracking: writers that training code uses at a site, receivers that write real curves at the server."""

from __future__ import annotations

from .receiver import History, Receiver, TensorBoardReceiver, make_receivers
from .writer import BaseWriter, SummaryWriter, TensorBoardWriter, flush_all

__all__ = [
    "BaseWriter",
    "History",
    "Receiver",
    "SummaryWriter",
    "TensorBoardReceiver",
    "TensorBoardWriter",
    "flush_all",
    "make_receivers",
]
