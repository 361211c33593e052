"""A small real problem for examples and tests: optical handwritten digits, split over sites.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998; the 1,797 images of 8 by 8 pixels that scikit-learn ships.
"""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import Any

from ..errors import MissingExtra

#: Every fifth image is held out, and belongs to no site.
HELD_OUT_EVERY = 5

_SEEDING = threading.Lock()


def load_all() -> tuple[Any, Any]:
    """Give all images, float32 in 0 … 1 of shape (1797, 64), and their labels, int64 (1797,)."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise MissingExtra("scikit-learn", "examples", "the digits data set")
    import numpy

    # Read without `sklearn.datasets`, whose import takes seconds in each process.
    file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        table = numpy.loadtxt(file, delimiter=",")
        images, labels = table[:, :-1], table[:, -1]
    else:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
    return (images / 16.0).astype(numpy.float32), labels.astype(numpy.int64)


def held_out() -> tuple[Any, Any]:
    """Give the images and labels that no site trains on."""
    images, labels = load_all()
    return images[::HELD_OUT_EVERY], labels[::HELD_OUT_EVERY]


def site_share(site: str, sites: int, *, seed: int = 7) -> tuple[Any, Any]:
    """Give a site's own images and labels, the same in every process.

    The split is not identical: of each digit, the sites get shares drawn from a Dirichlet
    distribution (concentration 1), so that a site knows some digits much better than others.

    Args:
        site: `site-1`, `site-2`, …
        sites: how many there are.
    """
    import numpy

    number = int(site.rsplit("-", 1)[1]) - 1
    images, labels = load_all()
    train = numpy.flatnonzero(numpy.arange(len(labels)) % HELD_OUT_EVERY)
    random = numpy.random.default_rng(seed)
    mine: list[Any] = []
    for digit in range(10):
        of_digit = random.permutation(train[labels[train] == digit])
        cuts = numpy.cumsum(random.dirichlet(numpy.ones(sites)))[:-1] * len(of_digit)
        mine.append(numpy.split(of_digit, cuts.astype(int))[number])
    chosen = numpy.sort(numpy.concatenate(mine))
    return images[chosen], labels[chosen]


def make_linear() -> dict[str, Any]:
    """Make a softmax regression for the digits in numpy: `w` (64, 10) and `b` (10,), float64 zeros."""
    import numpy

    return {"w": numpy.zeros((64, 10)), "b": numpy.zeros(10)}


def fit_linear(
    weights: dict[str, Any], images: Any, labels: Any, *, steps: int = 20, rate: float = 0.5
) -> dict[str, Any]:
    """Give the softmax regression after so many steps of gradient descent; what was given stays as it is."""
    w, b = weights["w"], weights["b"]
    for _ in range(steps):
        error = softmax_error(images @ w + b, labels)
        w, b = w - rate * images.T @ error, b - rate * error.sum(axis=0)
    return {"w": w, "b": b}


def softmax_error(scores: Any, labels: Any) -> Any:
    """Give the gradient of the mean cross entropy at scores of shape (images, 10), in numpy."""
    import numpy

    odds = numpy.exp(scores - scores.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True) - numpy.eye(10)[labels]) / len(labels)


def linear_accuracy(weights: dict[str, Any]) -> float:
    """Give the share of held-out digits that a softmax regression names rightly."""
    images, labels = held_out()
    return float(((images @ weights["w"] + weights["b"]).argmax(axis=1) == labels).mean())


def make_layer(inputs: int, outputs: int, seed: int) -> dict[str, Any]:
    """Make a layer of a numpy net: `w` (inputs, outputs), drawn from `seed`, and `b`, zeros."""
    import numpy

    draw = numpy.random.default_rng(seed)
    return {"w": draw.normal(size=(inputs, outputs)) / inputs**0.5, "b": numpy.zeros(outputs)}


def make_net(seed: int = 0) -> Any:
    """Make a torch network for the digits: 64 → 64 → 10, weights drawn from `seed`."""
    import torch

    # torch has one generator for all threads, and sites of SimEnv may make their nets at the same time.
    with _SEEDING, torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))


def accuracy(net: Any) -> float:
    """Give the share of held-out digits that a torch network names rightly."""
    import torch

    images, labels = held_out()
    with torch.no_grad():
        named = net(torch.from_numpy(images)).argmax(dim=1)
    return float((named == torch.from_numpy(labels)).float().mean())
