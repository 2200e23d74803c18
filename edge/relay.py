"""Several models share one voice on a station, so that it speaks on when a sensor dies.

All models run side by side, so that each knows what came before when it is needed. If their bundles
say what each is worth, all that see something are heard together (`edge.together`). If one bundle
says nothing of that, one model is heard at a time: the first, as they stand, whose inputs were all
observed.

A sensor counts as dead in the first step in which it is silent, and as back in the second in which
it is there. What is open is carried over: the decoder goes on, with other evidence.

Steps in which no model observed anything wait until one does, and then have the label of the step
before them; if that takes longer than the models bridge, what was open ends where observation
ended.

What is decided of a step depends on steps up to it alone, so it is the same live and in evaluation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from edge.bundle import Arrays, Decoder, Manifest
from edge.levels import Levels
from edge.segments import Segment
from edge.timeline import NEVER_US
from edge.together import Answer, together, weights_of
from edge.voices import Change, Gap, Now, Step

GAP_STEPS = 2
"""Silent steps that make a gap."""


class RelayError(Exception):
    """Models can not take turns; the text names found and expected."""


@dataclass(frozen=True)
class Switch:
    """From ``at_us`` on other models are heard."""

    at_us: int
    before: str
    """Names of the models heard until then, joined by ``+``; empty at the beginning and after a
    gap."""
    after: str
    """Those heard from then on; empty: no model observes anything."""


class Relay:
    """The models of one station, and the one voice that they share."""

    LASTING = (
        "_decoded", "_alive_before", "_answers", "_next", "_heard", "_lead", "_silent", "_gap_us",
        "now", "hop",
    )  # fmt: skip

    def __init__(self, manifests: Sequence[Manifest]) -> None:
        """Take the models' manifests; the order counts where one does not say what it is worth.

        Raises:
            RelayError: they differ in their steps, in what they name, or in their decoders.
        """
        first = manifests[0]
        self.name = ">".join(manifest.name for manifest in manifests)
        """What the log calls it."""
        self._models = [_fitted(manifest, first) for manifest in manifests]
        self._orders = [_orders(manifest, first) for manifest in manifests]
        self._levels, self._step_us = first.levels, first.step_us
        self._delay = max(manifest.delay_steps for manifest in manifests)
        self._gap_steps = max(GAP_STEPS, self._delay + 1)
        bridged_us = min(manifest.reset_after_us for manifest in manifests)
        self._reset_steps = max(bridged_us // self._step_us, self._gap_steps)
        self._decoded = self._new_levels()
        self._kinds = [frozenset(manifest.kinds) for manifest in manifests]
        self._all_kinds = tuple(dict.fromkeys(k for m in manifests for k in m.kinds))
        self._weight = weights_of(manifests)
        self._alive_before: list[frozenset[str]] = [frozenset()] * len(manifests)
        self._answers: dict[int, dict[int, Answer]] = {}  # by step, by rank; until decided
        self._next: int | None = None  # step to be decided
        self._heard = ""  # models, as a switch names them
        self._lead: int | None = None  # the one that counts most
        self._silent: list[int] = []  # at most as many as the models bridge
        self._gap_us: int | None = None
        self.now: list[Now] = []
        """The newest step's labels, one a level."""
        self.hop = 1
        """The models look at every step, or every second: their answers are as much later."""

    def restored(self) -> None:
        """Listen to the one that led, after all that lasts was put back."""
        if self._lead is not None:
            self._decoded.listen(self._models[self._lead].decoders)

    def _new_levels(self) -> Levels:
        lags = [max(spec.lag_steps for spec in specs) for specs in self._specs]
        first = [
            msgspec.structs.replace(specs[0], lag_steps=lag)
            for specs, lag in zip(self._specs, lags, strict=True)
        ]
        return Levels(self._levels, first, self._step_us)

    @property
    def _specs(self) -> list[tuple[Decoder, ...]]:
        """The models' decoders by level."""
        return list(zip(*(model.decoders for model in self._models), strict=True))

    def answer(self, rank: int, step: Step, outputs: Arrays) -> None:
        """Take what the model of a rank says of a step."""
        if self._next is not None and step.index < self._next:
            return
        said = {
            level.name: outputs[f"p_{level.name}"][order]
            for level, order in zip(self._levels, self._orders[rank], strict=True)
        }
        if not all(np.isfinite(p).all() for p in said.values()):
            return  # a model that says no numbers says nothing
        answers = self._answers.setdefault(step.index, {})
        begins = float(outputs["boundary"][0])
        answers[rank] = Answer(said, step.observed, step.alive, begins)

    def decide(self, complete: int) -> list[Change | Switch]:
        """Return what changes by all steps before ``complete`` that the models have spoken of."""
        changes: list[Change | Switch] = []
        if self._next is None:
            if not self._answers:
                return changes
            first = min(self._answers)
            if first >= complete - self._delay * self.hop:
                return changes  # a model that is slower to speak may have seen an earlier step
            self._next = first
        while self._next < complete - self._delay * self.hop:
            changes += self._step(self._next, self._answers.pop(self._next, {}))
            self._next += 1
        return changes

    def _step(self, index: int, answers: dict[int, Answer]) -> list[Change | Switch]:
        weights = self._weights(answers)
        if not weights:
            return self._silence(index)
        changes: list[Change | Switch] = []
        start_us = index * self._step_us
        if self._gap_us is not None:
            changes.append(Gap(self._gap_us, start_us))
            self._gap_us = None
        for silent in self._silent:
            changes += self._decode(silent, None)
        self._silent.clear()
        heard = "+".join(self._models[rank].name for rank in weights)
        if heard != self._heard:
            changes.append(Switch(start_us, self._heard, heard))
            self._heard = heard
        lead = max(weights, key=lambda rank: weights[rank])
        if lead != self._lead:
            self._lead = lead
            self._decoded.listen(self._models[lead].decoders)
        return changes + self._decode(index, together(answers, weights))

    def _weights(self, answers: dict[int, Answer]) -> dict[int, float]:
        """Return by rank how much the models that are to be heard count; none: nothing lives."""
        alive = {rank: answer.alive for rank, answer in answers.items() if answer.alive}
        steady = {rank: kinds & self._alive_before[rank] for rank, kinds in sorted(alive.items())}
        self._alive_before = [alive.get(rank, frozenset()) for rank in range(len(self._models))]
        if not alive:
            return {}
        if not self._weight:

            def place(rank: int) -> int:
                whole = self._kinds[rank]
                return 0 if steady[rank] == whole else 1 if alive[rank] == whole else 2

            return {min(steady, key=place): 1.0}
        seen = {rank: kinds for rank, kinds in steady.items() if kinds} or alive
        return {rank: self._weight[rank][seen[rank]] for rank in sorted(seen)}

    def _silence(self, index: int) -> list[Change | Switch]:
        """Hold a step of which nothing is known; say that there is a gap, and when it is long."""
        changes: list[Change | Switch] = []
        if self._gap_us is not None and not self._silent:
            return changes  # what was open has ended
        self._silent.append(index)
        if len(self._silent) == self._gap_steps:
            self._gap_us = self._silent[0] * self._step_us
            self.now = []
            changes.append(Gap(self._gap_us, None))
            if self._heard:
                changes.append(Switch(self._gap_us, self._heard, ""))
                self._heard = ""
        if len(self._silent) > self._reset_steps:
            changes += self._end()
            self._silent.clear()
        return changes

    def _decode(self, index: int, answer: Answer | None) -> list[Change | Switch]:
        end_us = (index + 1) * self._step_us
        if answer is None:
            found = self._decoded.update(index, None, 0.0)
        else:
            kinds = "+".join(kind for kind in self._all_kinds if kind in answer.alive)
            found = self._decoded.update(
                index, answer.probabilities, answer.observed, kinds, answer.boundary
            )
        self.now = [Now(*known, end_us) for known in self._decoded.provisional]
        return [*found]

    @property
    def open(self) -> list[Segment]:
        """The segments that go on, as far as committed, one a level at most."""
        return self._decoded.open

    def finish(self) -> list[Change | Switch]:
        """Decide all steps that there are, end what is open; the relay starts anew after it."""
        changes = self.decide(max(self._answers, default=0) + 1 + self._delay * self.hop)
        changes += self._end()
        self._silent.clear()
        self._alive_before = [frozenset()] * len(self._models)
        self._next = self._gap_us = None
        self._heard = ""
        return changes

    def leave(self) -> tuple[list[Change | Switch], int | None, bool]:
        """End what is open, for other models take over; as `Lane.leave`."""
        changes = self.decide(max(self._answers, default=0) + 1 + self._delay)
        gap_us = self._gap_us
        first = self._silent[0] if self._silent and gap_us is None else self._next
        start_us = None if first is None else first * self._step_us
        changes += self.finish()
        if gap_us is not None and start_us is not None:
            changes.append(Gap(gap_us, start_us))
        return changes, start_us, gap_us is not None

    @property
    def unsaid_us(self) -> dict[str, int]:
        """By level, and for gaps and switches under an empty name; as `Lane.unsaid_us`."""
        next_ = NEVER_US // self._step_us if self._next is None else self._next
        first = self._silent[0] if self._silent else next_
        quiet = first if self._gap_us is None else next_
        steps = {n: first if i is None else i for n, i in self._decoded.undecided.items()}
        return {name: step * self._step_us for name, step in [*steps.items(), ("", quiet)]}

    def take_over(self, from_us: int, *, in_gap: bool) -> list[Change | Switch]:
        """Begin at a time, which lies in a gap or not; return what changes."""
        if not in_gap:
            return []
        self._gap_us = from_us
        return [Gap(from_us, None)]

    def _end(self) -> list[Segment]:
        """End open segments where observation ended."""
        self.now = []
        self._lead = None
        ended = self._decoded.finish()
        self._decoded = self._new_levels()
        return ended


class Turn:
    """One model's voice in a relay: what it says is kept until it is decided who is heard."""

    LASTING = ("now",)

    holds = False

    def __init__(self, relay: Relay, rank: int) -> None:
        self._relay, self._rank = relay, rank
        self.now: list[Now] = []
        self.open: list[Segment] = []
        self.undecided: dict[str, int | None] = {}

    def answer(self, step: Step, outputs: Arrays) -> list[Change]:
        """Pass it on."""
        self._relay.answer(self._rank, step, outputs)
        return []

    def leave_out(self, step: Step) -> list[Change]:
        """Say nothing: the relay decides of steps that nobody spoke of."""
        return []

    def gap(self, gap: Gap) -> list[Change]:
        """Say nothing: others may see."""
        return []

    def end(self) -> list[Change]:
        """Say nothing: others may go on."""
        return []


def _orders(manifest: Manifest, first: Manifest) -> list[list[int]]:
    """Return, by level, where each of the first model's labels stands in another's answer.

    Raises:
        RelayError: they differ in their steps, levels, labels or in what these belong to.
    """
    if manifest.step_us != first.step_us:
        raise RelayError(
            f"{manifest.name} has steps of {manifest.step_us} us, expected"
            f" {first.step_us} as {first.name}"
        )
    names = [level.name for level in manifest.levels]
    expected = [level.name for level in first.levels]
    if names != expected:
        raise RelayError(
            f"{manifest.name} names {' and '.join(names)}, expected"
            f" {' and '.join(expected)} as {first.name}"
        )
    orders = []
    for level, wanted in zip(manifest.levels, first.levels, strict=True):
        if odd := set(level.labels) ^ set(wanted.labels):
            raise RelayError(
                f"{manifest.name} and {first.name} differ in {level.name} by"
                f" {', '.join(sorted(odd))}, expected the same labels"
            )
        below, wanted_below = (
            dict(zip(one.labels, one.parents, strict=True)) if one.parents else {}
            for one in (level, wanted)
        )
        for label in wanted.labels:
            if below.get(label) != wanted_below.get(label):
                raise RelayError(
                    f"{manifest.name} has {level.name} {label} under {below.get(label)}, expected"
                    f" {wanted_below.get(label)} as {first.name}"
                )
        orders.append([level.labels.index(label) for label in wanted.labels])
    return orders


def _fitted(manifest: Manifest, first: Manifest) -> Manifest:
    """Return a manifest whose decoders have the first model's order of labels.

    Raises:
        RelayError: they differ in their steps, in what they name, or in their decoders.
    """
    orders = _orders(manifest, first)
    for spec, wanted in zip(manifest.decoders, first.decoders, strict=True):
        if spec.kind != wanted.kind or bool(spec.parent_weight) != bool(wanted.parent_weight):
            raise RelayError(
                f"{manifest.name} decodes {spec.level} {_way(spec)}, expected {_way(wanted)} as"
                f" {first.name}"
            )
    decoders = tuple(
        _reordered(spec, order) for spec, order in zip(manifest.decoders, orders, strict=True)
    )
    return msgspec.structs.replace(manifest, decoders=decoders)


def _way(spec: Decoder) -> str:
    return f"by {spec.kind}, {'with the level above' if spec.parent_weight else 'by itself'}"


def _reordered(spec: Decoder, order: list[int]) -> Decoder:
    move = np.asarray(spec.log_transition)[np.ix_(order, order)]
    return msgspec.structs.replace(
        spec,
        log_transition=tuple(tuple(row) for row in move.tolist()),
        log_prior=tuple(spec.log_prior[i] for i in order),
        shortest_steps=tuple(spec.shortest_steps[i] for i in order if spec.shortest_steps),
    )
