"""Teach the made-up teacher in a process of its own: ``python -m tests.made_up_run FOLDER ...``.

To be killed, or to be one of several that torchrun starts.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from tests.made_up_teachers import NO_DROPOUT, PARTS, RECIPE
from trainer.processes import joined
from trainer.saved_teacher import save
from trainer.teach import teach

SEED = 5
WITHOUT_DROPOUT = replace(
    RECIPE, name="made-up-exact", options={**RECIPE.options, **NO_DROPOUT}, clip=1e6
)  # gradients as they are, so that it shows how large they are


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--wait-at", type=int, help="update to wait at for the kill")
    arguments.add_argument("--without-dropout", action="store_true")
    given = arguments.parse_args()
    recipe = WITHOUT_DROPOUT if given.without_dropout else RECIPE
    torch.set_num_threads(1)

    with joined() as processes:

        def say(text: str) -> None:
            if processes.rank == 0:
                print(text, flush=True)
            if text.startswith(f"update {given.wait_at}/"):
                sys.stdin.read()

        taught = teach(recipe, PARTS, SEED, processes, given.folder, say)
        if processes.rank == 0:
            save(taught, recipe, SEED, given.folder)


if __name__ == "__main__":
    main()
