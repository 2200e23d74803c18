"""Who has moved: the sign of life is given only while every loop of the program does. Pure."""

from collections.abc import Callable, Mapping


class Beats:
    """The program's loops, by name: when each last moved, and how long it may stand still."""

    def __init__(self, loops: Mapping[str, tuple[Callable[[], float | None], float]]) -> None:
        """``loops``: by name, what returns the monotonic time of its last move, and seconds.

        None instead of a time is a loop that is no more.
        """
        self._loops = loops

    @property
    def names(self) -> list[str]:
        """All loops."""
        return list(self._loops)

    def standing(self, now_s: float) -> list[str]:
        """Return the loops that do not move."""
        found = []
        for name, (moved, most_s) in self._loops.items():
            moved_s = moved()
            if moved_s is None or now_s - moved_s > most_s:
                found.append(name)
        return found
