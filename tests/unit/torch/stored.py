"""Nets without latents, whose codes lie in a buffer."""

import torch
import torch.nn.functional as F
from torch import nn


def packed(codes, kind):
    """Pack ±1 into bits, or trits five to a byte."""
    flat = codes.flatten().long()
    if kind == "bits":
        return ((flat > 0).reshape(-1, 8).long() << torch.arange(8)).sum(1).to(torch.uint8)
    flat = F.pad(flat + 1, (0, -len(flat) % 5))
    return (flat.reshape(-1, 5) * 3 ** torch.arange(5)).sum(1).to(torch.uint8)


class Stored(nn.Module):
    """A layer without latents: the codes are in a buffer, and a rule turns those under a strong gradient."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.kind = kind
        codes = torch.randn(48, 64).sign() if kind == "bits" else torch.randint(-1, 2, (48, 64)).float()
        self.register_buffer("held", codes.to(torch.int8) if kind == "int8" else packed(codes, kind))
        self.scale, self.bias = nn.Parameter(torch.tensor(0.1)), nn.Parameter(torch.zeros(48))
        self.register_buffer("mean", torch.zeros(48, 64))
        self.known = codes  # by hand

    def unpacked(self):
        if self.kind == "int8":
            return self.held.float()
        if self.kind == "bits":
            return ((self.held[:, None] >> torch.arange(8)) & 1).reshape(48, 64).float() * 2 - 1
        trits = (self.held[:, None].int() // 3 ** torch.arange(5)) % 3
        return trits.flatten()[: 48 * 64].reshape(48, 64).float() - 1

    def forward(self, x):
        weight = self.unpacked() * self.scale
        if weight.requires_grad and torch.is_grad_enabled():
            weight.register_hook(self.learn)
        return F.linear(x, weight, self.bias)

    def learn(self, gradient):
        self.mean.mul_(0.9).add_(gradient, alpha=0.1)

    def turn(self):
        """Move the hundredth of the codes with the strongest mean gradients against them."""
        pull = -self.mean.sign()
        least, most = (-1, 1)
        moves = (self.known + pull).clamp(least, most) if self.kind != "bits" else pull
        strong = self.mean.abs() >= self.mean.abs().flatten().kthvalue(2900).values
        self.known = torch.where(strong & (self.mean != 0), moves, self.known)
        new = self.known.to(torch.int8) if self.kind == "int8" else packed(self.known, self.kind)
        self.held.copy_(new)


class LookedUp(Stored):
    """The same trits, from a table of all bytes."""

    def __init__(self):
        super().__init__("trits")
        trits = torch.arange(256)[:, None] // 3 ** torch.arange(5) % 3 - 1
        self.register_buffer("table", trits.to(torch.int8))

    def unpacked(self):
        return self.table[self.held.long()].flatten()[: 48 * 64].reshape(48, 64).float()
