"""Which OpenPack sessions train, validate and test: the published splits, and no others.

From the configuration files of the publishers' toolkit and their reference code for PyTorch
(releases for v1.0.0). ``debug``, ``pilot`` and ``challenge-2022`` (their benchmark 1) are fixed
tables; benchmarks 2, 3 and 5 are families, of which a user or a number picks one.

Session S0400 of U0108 has wrong stamps and is in none of them. The publishers name no benchmark 4.
Where they give no validation part, theirs are the last fifth of the windows of each training
session; ``notes`` says what stands here instead.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sensor_adapters.openpack_errors import is_unfit
from sensor_adapters.openpack_labels import SAME_PERSON

USERS = (
    *(f"U01{n:02d}" for n in range(1, 12)),
    *(f"U02{n:02d}" for n in range(1, 11)),
)  # fmt: skip
"""All 21 user ids, of 16 people."""
NOT_RECORDED = {("U0104", "S0500")}
"""Sessions that the publishers' tables do not have, beside those that are unfit."""
VALIDATION = ("part=0-80", "part=80-100")
"""Training and validation part of a session, as in the publishers' code, by time."""

Session = tuple[str, str]


class UnknownSplit(ValueError):
    """No such split is published; the text lists those that are."""


@dataclass(frozen=True)
class Parts:
    """One split: recording names below the data folder, ``U0101/S0300`` with ``:part=`` behind."""

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    submission: tuple[str, ...] = ()
    """What a challenge was judged on; its labels came with release 1.0.0."""
    notes: tuple[str, ...] = ()
    """What is ours in it, and what to mind."""

    def __post_init__(self) -> None:
        for name in (*self.train, *self.validation, *self.test, *self.submission):
            if is_unfit(*session_of(name)):
                raise UnknownSplit(f"{self.name}: {name} has wrong stamps, expected other sessions")

    @property
    def judged(self) -> tuple[str, ...]:
        """What figures are compared on: the submission part where there is one, else the test."""
        return self.submission or self.test


def session_of(name: str) -> Session:
    """Return user and session of a recording's name.

    >>> session_of("U0101/S0300:part=0-80")
    ('U0101', 'S0300')
    """
    user, _, session = name.partition(":")[0].partition("/")
    return user, session


def people_of(names: Iterable[str]) -> set[str]:
    """Return who is in some recordings, a person with two ids under the first.

    >>> sorted(people_of(["U0202/S0100", "U0105/S0300", "U0101/S0100"]))
    ['U0101', 'U0105']
    """
    users = [session_of(name)[0] for name in names]
    return {SAME_PERSON.get(user, user) for user in users}


def sessions(user: str, numbers: Iterable[int] = (1, 2, 3, 4, 5)) -> tuple[str, ...]:
    """Return a user's sessions by number, without those that no split may have.

    >>> sessions("U0104"), sessions("U0108", (3, 4))
    (('U0104/S0100', 'U0104/S0200', 'U0104/S0300', 'U0104/S0400'), ('U0108/S0300',))
    """
    pairs = [(user, f"S0{n}00") for n in numbers]
    return tuple(f"{u}/{s}" for u, s in pairs if not is_unfit(u, s) and (u, s) not in NOT_RECORDED)


def _of(users: Iterable[str], numbers: Iterable[int]) -> tuple[str, ...]:
    numbers = tuple(numbers)
    return tuple(name for user in users for name in sessions(user, numbers))


def debug() -> Parts:
    """Return the smallest split: one user, for trying things out, not for figures."""
    last = sessions("U0102", (5,))
    return Parts(
        "debug", sessions("U0102", (1, 2, 3)), sessions("U0102", (4,)), last, last,
        notes=("one person is in all parts: figures say nothing about others",),
    )  # fmt: skip


def pilot() -> Parts:
    """Return the split of the pilot challenge of 2022; U0106 is in validation and test."""
    return Parts(
        "pilot",
        _of(("U0102", "U0103", "U0105"), range(1, 6)),
        sessions("U0106", (2, 4)),
        sessions("U0106", (1, 3, 5)),
        sessions("U0107", (1, 2, 3, 5)),
        notes=("judged on the submission part, U0107, who is in no other part",),
    )


SUBMISSION = (
    *sessions("U0104", (1, 3)),
    *sessions("U0108", (1, 2, 3, 5)),
    *sessions("U0110"),
    *sessions("U0203"),
    *sessions("U0204", (2, 3, 4)),
    *sessions("U0207", (3, 4, 5)),
)
"""The 22 sessions that OpenPack Challenge 2022 was judged on."""


def challenge_2022() -> Parts:
    """Return the split of OpenPack Challenge 2022, which is benchmark 1 as well."""
    users = (
        "U0101", "U0102", "U0103", "U0105", "U0106", "U0107", "U0109", "U0111", "U0202", "U0205",
        "U0210",
    )  # fmt: skip
    return Parts(
        "challenge-2022",
        _of(users, (1, 2, 4, 5)),
        _of(("U0101", "U0103", "U0105", "U0107", "U0109", "U0111", "U0205"), (3,)),
        _of(("U0102", "U0106", "U0202", "U0210"), (3,)),
        SUBMISSION,
        notes=(
            "judged on the submission part, people who are in no other part; validation and test"
            " are other sessions of the people in training",
        ),
    )


def benchmark2(user: str, *, others: bool = False) -> Parts:
    """Return how well one session of a user carries over, to the same user's other sessions.

    Args:
        user: who trains, by session S0300.
        others: test on everybody else instead. The publishers have the user's second id among
            them; here it is left out.
    """
    _known(user)
    (session,) = sessions(user, (3,))
    person = people_of([session])
    if others:
        strangers = [u for u in USERS if not people_of([f"{u}/"]) & person]
        test = _of(strangers, range(1, 6))
    else:
        test = sessions(user, (1, 2, 4, 5))
    return Parts(
        f"benchmark2-{user.lower()}{'-others' if others else ''}",
        (f"{session}:{VALIDATION[0]}",), (f"{session}:{VALIDATION[1]}",), test,
        notes=(
            "no validation part is published: the last fifth of the training session, by time",
        ),
    )  # fmt: skip


POOL = (
    "U0101", "U0102", "U0103", "U0105", "U0106", "U0107", "U0111", "U0201", "U0202", "U0205",
    "U0206", "U0208", "U0209", "U0210",
)  # fmt: skip
"""Whose session S0300 benchmark 3 trains on, in the published order."""


def benchmark3(users: int = len(POOL)) -> Parts:
    """Return what more people in training bring: the first ``users`` of the pool, by S0300 each."""
    if not 1 <= users <= len(POOL):
        raise UnknownSplit(f"benchmark3: users is {users}, expected 1 to {len(POOL)}")
    names = _of(POOL[:users], (3,))
    return Parts(
        f"benchmark3-{users}",
        tuple(f"{name}:{VALIDATION[0]}" for name in names),
        tuple(f"{name}:{VALIDATION[1]}" for name in names),
        SUBMISSION,
        notes=(
            "no validation part is published: the last fifth of each training session, by time",
        ),
    )


def benchmark5(user: str, *, as_published: bool = False) -> Parts:
    """Return leave-one-user-out: test on one user, train on the others.

    Args:
        user: who is tested on, with all sessions.
        as_published: keep the tested person's second id in training, as the publishers do. By
            default it is left out, so that the test is of a stranger.
    """
    _known(user)
    person = people_of([f"{user}/"])
    strangers = [u for u in USERS if not people_of([f"{u}/"]) & person]
    at = USERS.index(user)
    following = next(u for u in USERS[at + 1 :] + USERS[:at] if u in strangers)
    watcher = people_of([f"{following}/"])
    watching = [u for u in strangers if people_of([f"{u}/"]) & watcher]
    training = [u for u in (USERS if as_published else strangers) if u not in (user, *watching)]
    twin = [u for u in training if people_of([f"{u}/"]) & person]
    notes = [f"no validation part is published: {', '.join(watching)}, the next person in order"]
    if twin:
        notes.append(f"as published, {twin[0]} in training is the same person as {user} in test")
    return Parts(
        f"benchmark5-{user.lower()}{'-as-published' if as_published else ''}",
        _of(training, range(1, 6)), _of(watching, range(1, 6)), sessions(user),
        notes=tuple(notes),
    )  # fmt: skip


def _known(user: str) -> None:
    if user not in USERS:
        raise UnknownSplit(f"user {user!r} is unknown, expected one of {', '.join(USERS)}")


PUBLISHED = (
    "debug", "pilot", "challenge-2022 (or benchmark1)", "benchmark2-<user>[-others]",
    "benchmark3[-<number of users>]", "benchmark5-<user>[-as-published]",
)  # fmt: skip


def parts(name: str) -> Parts:
    """Return the split of that name.

    >>> len(parts("challenge-2022").judged), parts("benchmark5-u0108").test[-1]
    (22, 'U0108/S0500')

    Raises:
        UnknownSplit: none is published under it; the text lists those that are.
    """
    fixed = {
        "debug": debug, "pilot": pilot, "challenge-2022": challenge_2022,
        "benchmark1": challenge_2022,
    }  # fmt: skip
    if name in fixed:
        return fixed[name]()
    family, _, rest = name.partition("-")
    which, _, how = rest.partition("-")
    if family == "benchmark2" and which and how in ("", "others"):
        return benchmark2(which.upper(), others=bool(how))
    if family == "benchmark3" and not how and (which.isdecimal() or not which):
        return benchmark3(int(which or len(POOL)))
    if family == "benchmark5" and which and how in ("", "as-published"):
        return benchmark5(which.upper(), as_published=bool(how))
    raise UnknownSplit(f"split {name!r} is unknown, expected one of {', '.join(PUBLISHED)}")
