"""The site's models: accepted by their engines, fitted to stations, and as the log knows them."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

from edge import bundle as bundles, bundle_signature, checkpoint
from edge.bundle import MANIFEST, sha256
from edge.config import SiteConfig
from edge.engine import open_engine
from edge.pipeline import Model
from edge.records import ModelRecord, Record, StationRecord
from edge.relay import Relay, RelayError
from sensor_adapters.adapter import load_adapter
from sensor_adapters.settings import ConfigError


def load_models(config: SiteConfig) -> dict[str, Model]:
    """Return every bundle of the site, each accepted by its engine, by folder.

    Raises:
        BundleError: a bundle is damaged, answers other than its reference, or is not signed by
            whom the site trusts.
        ConfigError: no key to trust, two bundles of one name, a station lacks a device that a
            bundle needs, or its bundles are to share one voice and can not.
    """
    models: dict[str, Model] = {}
    signer = bundle_signature.trusted(config.bundles)
    for id_, station in config.stations.items():
        for folder in station.bundles:
            if folder not in models:
                if signer is not None:
                    bundle_signature.check(Path(folder), signer)
                loaded = bundles.load(Path(folder))
                models[folder] = Model(loaded, open_engine(loaded))
            _check_devices(id_, config, models[folder])
        if station.failover:
            try:
                Relay([models[folder].bundle.manifest for folder in station.bundles])
            except RelayError as error:
                raise ConfigError(f"stations.{id_}.failover: {error}") from error
    names = [m.bundle.manifest.name for m in models.values()]
    if twice := {n for n in names if names.count(n) > 1}:
        raise ConfigError(f"bundles: found {' and '.join(twice)} twice, expected distinct names")
    return models


def _check_devices(id_: str, config: SiteConfig, model: Model) -> None:
    """Refuse a station that lacks what a model was trained on."""
    manifest = model.bundle.manifest
    devices = config.stations[id_].devices
    stream = {d.placement: load_adapter(d.adapter).stream for d in devices.values()}
    need = [
        (c.rpartition(".")[0], c.rpartition(".")[2], unit)
        for block in manifest.inputs
        for c, unit in zip(block.channels, block.units, strict=True)
    ]
    need += [(d.placement, "", d.kind) for d in manifest.devices]
    for placement, channel, unit_or_kind in need:
        if placement not in stream:
            raise ConfigError(
                f"stations.{id_}.devices: none sits at {placement!r}, which bundle"
                f" {manifest.name} needs; found {', '.join(sorted(stream))}"
            )
        units = {c.name: c.unit for c in stream[placement].channels}
        if channel and channel not in units:
            raise ConfigError(
                f"stations.{id_}.devices: {placement} gives {', '.join(units)}; bundle"
                f" {manifest.name} needs {placement}.{channel}"
            )
        found = units[channel] if channel else stream[placement].kind
        if found != unit_or_kind:
            raise ConfigError(
                f"stations.{id_}.devices: {placement} gives {channel or 'a stream'} of {found};"
                f" bundle {manifest.name} needs {unit_or_kind}"
            )


def made_of(config: SiteConfig, id_: str, models: dict[str, Model]) -> str:
    """Return what a station's checkpoints depend on."""
    station = config.stations[id_]
    sums = [sha256(models[folder].bundle.folder / MANIFEST) for folder in station.bundles]
    return checkpoint.made_of((station, config.time), sums, version("solosense"))


def start_records(config: SiteConfig, models: dict[str, Model], at_us: int) -> list[Record]:
    """Return what the log should know of a start at this time."""
    records: list[Record] = []
    for model in models.values():
        path = model.bundle.folder / MANIFEST
        manifest = model.bundle.manifest
        records.append(
            ModelRecord(
                manifest.name,
                sha256(path),
                "+".join(manifest.modality),
                model.engine.name,
                path.read_text(encoding="utf-8"),
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
    sums = [sha256(model.bundle.folder / MANIFEST) for model in models]
    first = json.loads((models[0].bundle.folder / MANIFEST).read_text(encoding="utf-8"))
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
