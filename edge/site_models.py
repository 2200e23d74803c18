"""The site's models: accepted by their engines, fitted to stations, and as the log knows them."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from edge import bundle as bundles, bundle_signature, checkpoint
from edge.bundle import MANIFEST, BundleError, Manifest
from edge.config import SiteConfig, Station
from edge.engine import make_ready, open_engine
from edge.inference import Model
from edge.records import ModelRecord, Record, StationRecord
from edge.relay import Relay, RelayError
from sensor_adapters.adapter import load_adapter
from sensor_adapters.setting_words import meant, nearest
from sensor_adapters.settings import ConfigError


def load_models(config: SiteConfig, known: Mapping[str, Model] | None = None) -> dict[str, Model]:
    """Return every bundle of the site, each accepted by its engine, by folder.

    ``known``: models that run already, by SHA-256 of their manifests; these are not opened again.

    Raises:
        ConfigError: bundles are missing, damaged, not signed by whom the site trusts, or answer
            other than their references; no key to trust; two of one name, a station lacks a device
            that a bundle needs, or its bundles are to share one voice and can not. One line a
            fault.
    """
    signer = bundle_signature.trusted(config.bundles)
    models: dict[str, Model] = {}
    wrong: dict[str, str] = {}  # by folder
    for id_, station in config.stations.items():
        for folder in station.bundles:
            if folder not in models and folder not in wrong:
                try:
                    stations = sum(folder in one.bundles for one in config.stations.values())
                    models[folder] = _model(Path(folder), known or {}, signer, stations)
                except BundleError as error:
                    wrong[folder] = f"stations.{id_}.bundles: {error}"
    said = [*wrong.values(), *_unfit(config, models)]
    if said:
        raise ConfigError("\n".join(said))
    return models


def _model(
    folder: Path,
    known: Mapping[str, Model],
    signer: bundle_signature.PublicKey | None,
    stations: int,
) -> Model:
    if folder.is_file():
        raise BundleError(f"{folder}: found a file, expected a model bundle's folder")
    if not folder.is_dir():
        near = [one.parent.name for one in folder.parent.glob(f"*/{MANIFEST}")]
        raise BundleError(
            f"{folder}: found no {MANIFEST}, expected a model bundle's folder"
            f"{meant(folder.name, near)}"
        )
    if signer is not None:
        bundle_signature.check(folder, signer)
    loaded = bundles.load(folder)
    if same := known.get(loaded.sha256):
        return Model(loaded, same.engine)  # at work, in another thread
    engine = open_engine(loaded)
    make_ready(engine, loaded, stations)
    return Model(loaded, engine)


def _unfit(config: SiteConfig, models: dict[str, Model]) -> Iterator[str]:
    """Yield what does not go together."""
    for id_, station in config.stations.items():
        fitting = [models[folder].bundle.manifest for folder in station.bundles if folder in models]
        for manifest in fitting:
            yield from _lacking(id_, station, manifest)
        if station.failover and len(fitting) == len(station.bundles):
            try:
                Relay(fitting)
            except RelayError as error:
                yield f"stations.{id_}.failover: {error}"
    names = [m.bundle.manifest.name for m in models.values()]
    for name in sorted({n for n in names if names.count(n) > 1}):
        folders = [f for f, m in models.items() if m.bundle.manifest.name == name]
        id_ = next(i for i, s in config.stations.items() if folders[1] in s.bundles)
        yield (
            f"stations.{id_}.bundles: found the name {name} twice, in {' and '.join(folders)};"
            " expected distinct names"
        )


def _lacking(id_: str, station: Station, manifest: Manifest) -> Iterator[str]:
    """Yield what a station lacks of what a model was trained on."""
    devices = station.devices
    at = {device.placement: name for name, device in devices.items()}
    stream = {d.placement: load_adapter(d.adapter).stream for d in devices.values()}
    need = [
        (c.rpartition(".")[0], c.rpartition(".")[2], unit)
        for block in manifest.inputs
        for c, unit in zip(block.channels, block.units, strict=True)
    ]
    need += [(d.placement, "", d.kind) for d in manifest.devices]
    said = set[str]()
    for placement, channel, unit_or_kind in need:
        if placement in said:
            continue
        said.add(placement)
        if placement not in stream:
            yield (
                f"stations.{id_}.devices: found none at {placement!r}, expected one, which bundle"
                f" {manifest.name} needs; they sit at {', '.join(sorted(stream))}"
                f"{_misspelt(placement, at)}"
            )
            continue
        adapter = devices[at[placement]].adapter
        key = f"stations.{id_}.devices.{at[placement]}.adapter is {adapter!r}, which gives"
        units = {c.name: c.unit for c in stream[placement].channels}
        whose = f"which bundle {manifest.name} needs at {placement}"
        if channel and channel not in units:
            yield f"{key} {_some([*units])}; expected one that gives {channel}, {whose}"
            continue
        found = units[channel] if channel else stream[placement].kind
        if found != unit_or_kind:
            what = f"{channel} in {found}" if channel else f"{found}s"
            other = f"it in {unit_or_kind}" if channel else f"{unit_or_kind}s"
            yield f"{key} {what}; expected one that gives {other}, {whose}"
        else:
            said.discard(placement)  # its other channels


def _some(names: list[str]) -> str:
    """Return names, or the first of many.

    >>> _some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _misspelt(placement: str, at: dict[str, str]) -> str:
    """Return a question after the device whose place may be meant."""
    near = nearest(placement, at)
    return f"; did you mean that of {at[near]}, {near!r}?" if near else ""


def made_of(config: SiteConfig, id_: str, models: dict[str, Model]) -> str:
    """Return what a station's checkpoints depend on."""
    station = config.stations[id_]
    found = [models[folder].bundle for folder in station.bundles]
    sums = [(bundle.manifest.name, bundle.sha256) for bundle in found]
    return checkpoint.made_of(station, config.time, sums, version("solosense"))


def start_records(config: SiteConfig, models: dict[str, Model], at_us: int) -> list[Record]:
    """Return what the log should know of a start at this time."""
    records: list[Record] = []
    for model in models.values():
        manifest = model.bundle.manifest
        records.append(
            ModelRecord(
                manifest.name,
                model.bundle.sha256,
                "+".join(manifest.modality),
                model.engine.name,
                model.bundle.text.decode(),
                at_us,
            )
        )
    for id_, station in config.stations.items():
        names = ",".join(models[folder].bundle.manifest.name for folder in station.bundles)
        if station.failover:
            records.append(_together([models[folder] for folder in station.bundles], at_us))
        records.append(StationRecord(config.site, config.node, id_, names, at_us))
    return records


def _together(models: list[Model], at_us: int) -> ModelRecord:
    """Return models that share one voice as the one that the log knows them as."""
    manifests = [model.bundle.manifest for model in models]
    sums = [model.bundle.sha256 for model in models]
    first = json.loads(models[0].bundle.text)
    name = Relay(manifests).name
    used = "; ".join(dict.fromkeys(manifest.data_license for manifest in manifests))
    hashes = {manifest.name: sum_ for manifest, sum_ in zip(manifests, sums, strict=True)}
    return ModelRecord(
        name,
        hashlib.sha256("".join(sums).encode()).hexdigest(),
        ",".join("+".join(manifest.modality) for manifest in manifests),
        ",".join(dict.fromkeys(model.engine.name for model in models)),
        json.dumps(
            {"name": name, "levels": first["levels"], "data_license": used, "models": hashes}
        ),
        at_us,
    )
