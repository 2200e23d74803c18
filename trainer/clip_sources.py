"""What sources say of a training part: in sample, or of each person by networks without them.

Networks are taught once and remembered, so that the methods that are compared have the same ones.

Legend: N clips, K labels, H heads.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.clip_fit import Told, fit_clips, said_of
from trainer.clip_net import ClipNet, frozen
from trainer.clip_recipes import ClipRecipe, clip_recipe
from trainer.clips import Clips
from trainer.dcat import DcatOptions, products

GROUPS = 4
"""Parts into which the training people fall for networks out of fold."""
SOURCE = "alone"
"""Method by which sources are taught: the strong recipe of one sensor."""


class Sources:
    """The networks that may tell of one training part, of one seed."""

    def __init__(self, clips: Clips, seed: int) -> None:
        self._clips, self._seed = clips, seed
        self._nets: dict[tuple[ClipRecipe, tuple[str, ...], tuple[str, ...]], ClipNet] = {}

    def net(
        self, recipe: ClipRecipe, subjects: Sequence[str], places: Sequence[str] = ()
    ) -> ClipNet:
        """Return the frozen network of a recipe, taught on some people's clips, of some places."""
        key = recipe, tuple(subjects), tuple(places)
        if key not in self._nets:
            part = self._clips.of(subjects)
            part = part.at(places) if places else part
            self._nets[key] = frozen(fit_clips(recipe, part, self._seed))
        return self._nets[key]

    def told(self, recipe: ClipRecipe) -> Told:
        """Return what a recipe's sources say of the training clips, in their order.

        Raises:
            ValueError: the source is to know other placements, and there is one only.
        """
        soft = None if recipe.soft is None else self._soft(recipe)
        if recipe.dcat is None:
            return Told(soft)
        source = clip_recipe(recipe.data, recipe.source, SOURCE)
        if recipe.other_place:
            all_ = self._of_other_places(source, recipe.dcat)
        else:
            said = said_of(self.net(source, self._people), source, self._clips).said
            all_ = products(said, recipe.dcat)
        if recipe.control == "mean":
            all_ = all_.mean(0, keepdim=True)
        if recipe.control == "noise":
            rng = torch.Generator().manual_seed(self._seed)
            noise = torch.randn(all_[:1].shape, generator=rng)
            size = all_.flatten(1).norm(dim=1).mean()
            all_ = noise * size / noise.norm()
        return Told(soft, all_, torch.from_numpy(self._clips.label))

    def _of_other_places(self, source: ClipRecipe, options: DcatOptions) -> Tensor:
        """Return the matrices of all clips, each by a source that knows other placements alone."""
        places, parts, order = self._clips.places, [], []
        if len(places) < 2:
            raise ValueError(f"found clips of {places[0]} alone, expected several placements")
        for place in places:
            net = self.net(source, self._people, [one for one in places if one != place])
            parts.append(products(said_of(net, source, self._clips.at([place])).said, options))
            order += [i for i, clip in enumerate(self._clips.clips) if clip.place == place]
        return torch.cat(parts)[torch.tensor(order).argsort()]

    @property
    def _people(self) -> list[str]:
        return sorted({clip.subject for clip in self._clips.clips})

    def _soft(self, recipe: ClipRecipe) -> Tensor:
        """Return (N, K): the log-probabilities of the teachers, added."""
        assert recipe.soft is not None
        total = torch.zeros(len(self._clips.clips), len(self._clips.labels))
        for sensor in recipe.soft.teachers:
            teacher = clip_recipe(recipe.data, sensor, SOURCE)
            for group in self._groups(recipe.soft.out_of_fold):
                others = [p for p in self._people if not recipe.soft.out_of_fold or p not in group]
                part = self._clips.of(group)
                said = said_of(self.net(teacher, others), teacher, part).logits.log_softmax(-1)
                mine = [i for i, clip in enumerate(self._clips.clips) if clip.subject in group]
                total[mine] += said
        return total

    def _groups(self, out_of_fold: bool) -> list[list[str]]:
        if not out_of_fold:
            return [self._people]
        count = min(GROUPS, len(self._people))
        return [self._people[i::count] for i in range(count)]
