"""One of several processes that train the same stages together: ``two_processes.py CLIPS LATENTS FOLDER``.

Started as torchrun starts it, with the process's number in the environment.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from mdsgen.training.processes import processes
from mdsgen.training.shards import Shards
from tests.training.small_stages import trainer

STAGES = {"denoiser": "latents", "autoencoder": "clips", "frozen_norms": "clips"}


def main(clips: str, latents: str, folder: str) -> None:
    torch.set_num_threads(1)
    data = {"clips": Shards(Path(clips)), "latents": Shards(Path(latents))}
    with processes() as here:
        for name, dataset in STAGES.items():
            trainer(name, data[dataset], Path(folder) / name, here).fit()


if __name__ == "__main__":
    main(*sys.argv[1:])
