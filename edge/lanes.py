"""One model on one station: steps in, answers out; the same lane live and in evaluation.

A lane holds all that lasts from step to step: the model's state and the place in time; its voice
makes segments of the answers. Steps in which nothing at all was observed wait until something is,
if the voice wants it so; if that takes longer than the model's ``reset_after_us``, they are
dropped, what was open ends where observation ended, and the model starts anew with the next
reading.

On a board that can not keep up a lane may pause, or hop: look at every second step alone. Both
leave a gap that says so.
"""

from collections import deque

import numpy as np

from edge.bundle import Arrays, Manifest
from edge.segments import Segment
from edge.timeline import NEVER_US, Timeline
from edge.voices import DEGRADED, HOP, SILENT, Change, Gap, Now, Solo, Step, Voice
from edge.windows import Steps, cut, keep_us

MOST_STEPS = 512  # cut and waiting at once, so that a long catch-up stays small in memory


class Lane:
    """One model on one station."""

    LASTING = (
        "_voice", "state", "steps_done", "_next", "_floor", "_silent", "_quiet", "_asked",
        "_queue", "_gap_start_us", "is_paused", "is_hopping", "_paused_us", "_hop_us",
    )  # fmt: skip

    def __init__(self, manifest: Manifest, voice: Voice | None = None) -> None:
        """Take the model's manifest, and a voice if it is not to speak for itself."""
        self.manifest = manifest
        self._voice = Solo(manifest) if voice is None else voice
        self.placements = frozenset(
            [channel.rpartition(".")[0] for block in manifest.inputs for channel in block.channels]
            + [device.placement for device in manifest.devices]
        )
        self.state = np.zeros(manifest.state_size, np.float32)
        self.steps_done = 0
        self._next: int | None = None  # step to be cut; None: waits for the next reading
        self._floor = np.iinfo(np.int64).min  # readings before this time were dealt with
        self._silent: list[Step] = []  # held back, at most reset_after_us of them
        self._quiet = 0  # silent steps since the last that was not
        self._asked: deque[Step] = deque()
        # inferred, not yet answered for: delay_steps of them; and those left out, without tensors
        self._queue: deque[Step | Gap] = deque()  # at most MOST_STEPS and one silence
        self._gap_start_us: int | None = None
        self.is_paused = self.is_hopping = False
        self._paused_us: int | None = None  # since when; None: no reading came since
        self._hop_us: int | None = None

    def pause(self, watermark_us: int, *, is_paused: bool) -> None:
        """Look at nothing from the next reading on, or look again from the next step on.

        All steps before the watermark must have been inferred.
        """
        if is_paused and not self.is_paused:
            if self._next is not None:
                self._floor = self._next * self.manifest.step_us
            self._next, self._quiet = None, 0
            self._silent.clear()
        if self._paused_us is not None and not is_paused:
            self._floor = self._edge_us(watermark_us)
            self._queue.append(Gap(self._paused_us, self._floor, DEGRADED))
            self._paused_us = None
        self.is_paused = is_paused

    def hop(self, watermark_us: int, *, is_hopping: bool) -> None:
        """Leave out every second step from the next one on, or none."""
        if self._hop_us is not None and not is_hopping:
            self._queue.append(Gap(self._hop_us, self._edge_us(watermark_us), HOP))
            self._hop_us = None
        self.is_hopping = is_hopping

    def _edge_us(self, watermark_us: int) -> int:
        """Return where the first step begins that is not complete."""
        return watermark_us // self.manifest.step_us * self.manifest.step_us

    def _look_away(self, timeline: Timeline) -> None:
        """Begin the gap of a lane that is paused, where readings are that it does not look at."""
        if self._paused_us is not None or (step := self._first_step(timeline)) is None:
            return
        self._paused_us = step * self.manifest.step_us
        if self._gap_start_us is not None:
            self._queue.append(Gap(self._gap_start_us, self._paused_us))
            self._gap_start_us = None
        self._queue.append(Gap(self._paused_us, None, DEGRADED))

    def load(self, timeline: Timeline) -> None:
        """Cut complete steps into the queue, up to ``MOST_STEPS``.

        Raises:
            WindowError: the station's devices do not fit the model.
        """
        if self.is_paused:
            self._look_away(timeline)
            return
        complete = timeline.watermark_us // self.manifest.step_us  # exclusive
        while len(self._queue) < MOST_STEPS:
            if self._next is None:
                self._next = self._first_step(timeline)
            if self._next is None or self._next >= complete:
                return
            if self.is_hopping and self._hop_us is None:
                self._hop_us = self._next * self.manifest.step_us
                self._queue.append(Gap(self._hop_us, None, HOP))
            count = min(complete - self._next, MOST_STEPS)
            self._take(cut(timeline, self.manifest, self._next, count))

    def _first_step(self, timeline: Timeline) -> int | None:
        """Return the step of the first complete reading that was not dealt with."""
        found = []
        for placement in self.placements & timeline.tracks.keys():
            track = timeline.tracks[placement]
            track.settle()
            index = int(np.searchsorted(track.time_us, self._floor))
            if index < len(track.time_us) and track.time_us[index] < timeline.watermark_us:
                found.append(int(track.time_us[index]))
        return min(found) // self.manifest.step_us if found else None

    def _take(self, steps: Steps) -> None:
        """Queue observed steps with the silent ones before them; end at a long silence."""
        step_us = self.manifest.step_us
        for i, observed in enumerate(steps.observed.tolist()):
            index = steps.first + i
            tensors = {name: a[i] for name, a in steps.tensors.items()}
            step = Step(index, tensors, observed, steps.alive[i])
            self._next = index + 1
            if observed > 0:
                if self._gap_start_us is not None:
                    self._queue.append(Gap(self._gap_start_us, index * step_us))
                    self._gap_start_us = None
                self._queue.extend([*self._silent, step])
                self._silent.clear()
                self._quiet = 0
                continue
            self._quiet += 1
            (self._silent if self._voice.holds else self._queue).append(step)
            if self._quiet * step_us > self.manifest.reset_after_us:
                start_us = (index + 1 - self._quiet) * step_us
                self.drain()
                self._quiet = 0
                self._floor, self._next = (index + 1) * step_us, None
                if self._gap_start_us is None:
                    self._gap_start_us = start_us
                    self._queue.append(Gap(start_us, None))
                return

    @property
    def needs_us(self) -> int | None:
        """Time before which this lane reads no more; None if it waits for a reading."""
        if self._next is None:
            return None
        unanswered = self._next - self.manifest.delay_steps  # another model may take over there
        return unanswered * self.manifest.step_us - keep_us(self.manifest)

    def advance(self) -> list[Change]:
        """Return what gaps at the head of the queue change; then ``step`` is a step or None."""
        changes: list[Change] = []
        while self._queue:
            head = self._queue[0]
            if isinstance(head, Gap):
                self._queue.popleft()
                if head.end_us is None and head.reason != HOP:
                    changes += self._end()
                changes += self._voice.gap(head) if head.reason == SILENT else [head]
            elif self.is_hopping and head.index % 2:
                self._queue.popleft()
                changes += self._leave_out(head.index)
            else:
                break
        return changes

    def _leave_out(self, index: int) -> list[Change]:
        """Have nothing said of a step, once all before it have been answered for."""
        step = Step(index, {}, 0.0, frozenset())
        if not self._asked:
            return self._voice.leave_out(step)
        self._asked.append(step)
        return []

    @property
    def step(self) -> Step | None:
        """The step to be inferred next, with ``state``; None: nothing is ready."""
        head = self._queue[0] if self._queue else None
        return head if isinstance(head, Step) else None

    def accept(self, outputs: Arrays) -> list[Change]:
        """Take the model's answer to ``step``: (K,) a level and (S,) state."""
        newest = self._queue.popleft()
        assert isinstance(newest, Step)
        self.state = outputs["state"]
        self.steps_done += 1
        self._asked.append(newest)
        if sum(1 for step in self._asked if step.tensors) <= self.manifest.delay_steps:
            return []
        changes = self._voice.answer(self._asked.popleft(), outputs)
        while self._asked and not self._asked[0].tensors:
            changes += self._voice.leave_out(self._asked.popleft())
        return changes

    @property
    def now(self) -> list[Now]:
        """The newest step's labels, one a level."""
        return self._voice.now

    @property
    def open(self) -> list[Segment]:
        """The segments that go on, as far as committed, one a level at most."""
        return self._voice.open

    def drain(self) -> None:
        """Queue as many silent steps as bring out the answers that the model still owes."""
        self._queue.extend(self._silent[: self.manifest.delay_steps])
        self._silent.clear()

    def finish(self) -> list[Change]:
        """End what is open where observation ended; the lane starts anew after it.

        ``drain`` comes first; then the queue must be empty: all steps inferred.
        """
        assert not self._queue
        if self._next is not None:
            self._floor = self._next * self.manifest.step_us
        self._next, self._quiet = None, 0
        if self._hop_us is None:
            return self._end()
        hop = Gap(self._hop_us, self._floor, HOP)
        self._hop_us = None
        return [*self._end(), hop]

    def leave(self) -> tuple[list[Change], int | None, bool]:
        """End what is open, for another model takes over; all that is complete was inferred.

        Returns what changes, the start of the first step that was not answered for (None: it
        waits for a reading), and whether that lies in a gap.
        """
        assert not self._queue
        held = [step.index for step in (*self._asked, *self._silent)]
        first = held[0] if held else self._next
        start_us = None if first is None else first * self.manifest.step_us
        changes: list[Change] = self._end()
        if self._gap_start_us is not None:
            start_us = self._floor if first is None else start_us
            changes.append(Gap(self._gap_start_us, start_us))
        return changes, start_us, self._gap_start_us is not None

    @property
    def unsaid_us(self) -> dict[str, int]:
        """By level, and for gaps under an empty name: what is to be said begins then or later."""
        step_us = self.manifest.step_us
        floor = max(self._floor, NEVER_US) // step_us
        held = [step.index for step in (*self._asked, *self._silent)]
        first = held[0] if held else floor if self._next is None else self._next
        quiet = floor if self._next is None else self._next - self._quiet
        steps = {name: first if i is None else i for name, i in self._voice.undecided.items()}
        return {name: step * step_us for name, step in [*steps.items(), ("", quiet)]}

    def take_over(self, from_us: int, *, in_gap: bool) -> None:
        """Begin at a time: in a gap that goes on, or with the first reading from then on."""
        step_us = self.manifest.step_us
        self._floor = -(-from_us // step_us) * step_us
        if in_gap:
            self._gap_start_us = self._floor
            self._queue.append(Gap(self._floor, None))

    def _end(self) -> list[Change]:
        """End open segments and forget the model's state."""
        self.state = np.zeros_like(self.state)
        self._asked.clear()
        return self._voice.end()
