"""Every rule can be broken, and is told when it is; our own adapters keep them."""

import itertools
import time
from dataclasses import replace

import msgspec
import pytest

from sensor_adapters.kit.conformance import scorecard
from sensor_adapters.kit.subject import subject, subjects
from sensor_adapters.samples import DecodeError
from sensor_adapters.settings import ConfigError

FEW = 400
KEPT: list[bytes] = []
TOLD = itertools.count()


@pytest.mark.parametrize("name", [one.name for one in subjects()])
def test_our_adapters_are_silver_at_least(name):
    card = scorecard(subject(name), FEW)
    assert card.level in ("silver", "gold"), [v.why for v in card.verdicts if v.why]


def _reads(feed):
    """Return a subject all of whose devices read like this."""
    return replace(subject("zigbee2mqtt"), make=lambda device: feed)


def _shown(**changes):
    """Return a subject whose examples are changed."""
    one = subject("zigbee2mqtt")
    return replace(one, examples=msgspec.structs.replace(one.examples, **changes))


def _known(message):
    """Read nothing of JSON, and refuse the rest as one should."""
    try:
        msgspec.json.decode(message.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError("found no JSON, expected some") from error
    return []


def _raises(message):
    return [msgspec.json.decode(message.payload)["contact"]]


def _by_chance(message):
    return [f"{next(TOLD)}"]


def _opens(message):
    with open(__file__, "rb"):
        return []


def _prints(message):
    print(message)
    return []


def _mute(message):
    raise DecodeError("no")


def _keeps(message):
    KEPT.append(message.payload + bytes(4096))
    return []


def _slow(message):
    time.sleep(len(message.payload) / (1 << 20) * 1.1)
    return []


def _takes_all(device):
    raise ConfigError("never")


device = subject("zigbee2mqtt").examples.devices[0]
BROKEN = [
    ("A-01", replace(subject("zigbee2mqtt"), make=_takes_all), "never"),
    ("A-01", _reads(_known), "does not know"),
    ("A-03", _reads(_raises), "expected readings or a DecodeError"),
    ("A-05", _reads(_by_chance), "differently"),
    ("A-07", _shown(about=""), "what it is for"),
    ("A-08", _shown(devices=(msgspec.structs.replace(device, source=""),)), "source"),
    ("A-08", _shown(devices=()), "no example device"),
    ("A-09", _reads(_known), "expected ['on']"),
    ("A-10", replace(subject("zigbee2mqtt"), licence=""), "licence"),
    ("A-27", _reads(_raises), "DecodeError"),
    ("A-28", _reads(_opens), "touched open"),
    ("A-28", _reads(_prints), "printed"),
    ("A-29", replace(subject("zigbee2mqtt"), topics=lambda _: []), "to nothing"),
    ("A-29", replace(subject("zigbee2mqtt"), topics=lambda _: ["#"]), "of its own"),
    ("A-29", replace(subject("zigbee2mqtt"), topics=lambda _: ["a/b#"]), "of its own"),
    ("A-13", _reads(_mute), "what was expected"),
    ("A-16", _reads(_keeps), "bytes more"),
    ("A-17", _shown(devices=(subject("zigbee2mqtt").examples.devices[1],), limits=""), "gone"),
    ("A-30", _reads(_slow), "a megabyte"),
    ("A-19", _shown(discovery=()), "make themselves known"),
    ("A-19", replace(subject("zigbee2mqtt"), found=lambda _: []), "discovered []"),
    ("A-31", _shown(devices=(device,)), "one example device"),
    ("A-32", _shown(limits=""), "limits"),
]


@pytest.mark.parametrize(("rule", "bad", "why"), BROKEN, ids=[f"{r} {w}" for r, _, w in BROKEN])
def test_a_rule_that_is_broken_is_told(rule, bad, why):
    KEPT.clear()
    broken = {v.rule.id: v.why for v in scorecard(bad, FEW).verdicts if v.why}
    KEPT.clear()
    assert why in broken[rule]


def test_each_rule_is_broken_by_somebody():
    card = scorecard(subject("state"), FEW)
    assert {v.rule.id for v in card.verdicts} == {rule for rule, _, _ in BROKEN}
