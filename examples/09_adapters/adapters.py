"""A small frozen model with LoRA adapters.

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models".
"""

import torch

from fox_hpc.algos import only
from fox_hpc.testing.digits import make_net, site_share

SITES, RANK = 2, 4
ADAPTERS = only("*lora*")


class Adapted(torch.nn.Module):
    """A frozen layer, and a product of two thin matrices beside it."""

    def __init__(self, frozen):
        super().__init__()
        self.frozen = frozen.requires_grad_(False)
        draw = torch.Generator().manual_seed(0)
        self.lora_a = torch.nn.Parameter(torch.randn(RANK, frozen.in_features, generator=draw) / 8)
        self.lora_b = torch.nn.Parameter(torch.zeros(frozen.out_features, RANK))

    def forward(self, x):
        return self.frozen(x) + x @ self.lora_a.T @ self.lora_b.T


def steps(net, images, labels, epochs, lr):
    """Train what is not frozen."""
    trained = [each for each in net.parameters() if each.requires_grad]
    order = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels), generator=order).split(32):
            loss = torch.nn.functional.cross_entropy(net(images[batch]), labels[batch])
            with torch.no_grad():
                for each, gradient in zip(trained, torch.autograd.grad(loss, trained), strict=True):
                    each -= lr * gradient


def as_scanned(share):
    """Give pictures as the sites have them: their scanners write columns as rows."""
    images, labels = map(torch.from_numpy, share)
    return images.view(-1, 8, 8).transpose(1, 2).flatten(1), labels


def adapted_net():
    """Make the same model at each place: trained on a public share of upright digits, then frozen."""
    torch.set_num_threads(1)
    net = make_net()
    public = map(torch.from_numpy, site_share(f"site-{SITES + 1}", SITES + 1))
    steps(net, *public, epochs=20, lr=0.5)
    return torch.nn.Sequential(Adapted(net[0]), net[1], Adapted(net[2]))
