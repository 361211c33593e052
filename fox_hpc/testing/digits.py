"""A small real problem for examples and tests: optical handwritten digits, split over sites.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998; the 1,797 images of 8 by 8 pixels that scikit-learn ships.
"""

from __future__ import annotations

from typing import Any

from ..errors import MissingExtra

#: Every fifth image is held out, and belongs to no site.
HELD_OUT_EVERY = 5


def load_all() -> tuple[Any, Any]:
    """Give all images, float32 in 0 … 1 of shape (1797, 64), and their labels, int64 (1797,)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtra("scikit-learn", "examples", "the digits data set") from error
    import numpy

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


def make_net(seed: int = 0) -> Any:
    """Make a torch network for the digits: 64 → 64 → 10, weights drawn from `seed`."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))


def accuracy(net: Any) -> float:
    """Give the share of held-out digits that a torch network names rightly."""
    import torch

    images, labels = held_out()
    with torch.no_grad():
        named = net(torch.from_numpy(images)).argmax(dim=1)
    return float((named == torch.from_numpy(labels)).float().mean())
