"""Levels of number formats, from their definitions; the largest size is one."""

import torch

SIZES = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]) / 6
FP4 = torch.cat([-SIZES.flip(0)[:-1], SIZES])
BELOW = torch.tensor([-1.0, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911])
ABOVE = torch.tensor([0.0, 0.0796, 0.1609, 0.2461, 0.3379, 0.4407, 0.5626, 0.7230, 1.0])
NF4 = torch.cat([BELOW, ABOVE])
