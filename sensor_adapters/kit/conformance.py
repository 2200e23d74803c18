"""How far an adapter keeps the rules: a scorecard."""

from dataclasses import dataclass

from sensor_adapters.kit.rules import RULES, Broken, Level, Rule
from sensor_adapters.kit.subject import Subject

LEVELS: tuple[Level, ...] = ("bronze", "silver", "gold")
PAYLOADS = 2000


@dataclass(frozen=True)
class Verdict:
    """What became of one rule; ``why`` is empty where it is kept."""

    rule: Rule
    why: str


@dataclass(frozen=True)
class Scorecard:
    """All rules on one adapter."""

    name: str
    verdicts: list[Verdict]

    @property
    def level(self) -> Level | None:
        """The highest level all of whose rules, and all below, are kept."""
        reached: Level | None = None
        for level in LEVELS:
            if any(v.why for v in self.verdicts if v.rule.level == level):
                break
            reached = level
        return reached


def scorecard(subject: Subject, payloads: int = PAYLOADS, seed: int = 0) -> Scorecard:
    """Return which rules an adapter keeps."""
    verdicts = []
    for rule in RULES:
        why = ""
        try:
            rule.run(subject, payloads, seed)
        except Broken as error:
            why = str(error)
        except Exception as error:  # anything: it is not our code
            why = f"{type(error).__name__}: {error}"
        verdicts.append(Verdict(rule, why))
    return Scorecard(subject.name, verdicts)
