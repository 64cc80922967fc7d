"""Turns the configuration's targets into what collectors watch."""

from __future__ import annotations

from collectors.model import Target
from collectors.strict_yaml import dump as dump_yaml
from daemon.config.model import Config, DefaultSettings, TargetSettings


def targets(config: Config) -> tuple[Target, ...]:
    """Return the targets, `defaults` filled in."""
    return tuple(target_of(one, config.defaults) for one in config.targets)


def target_of(settings: TargetSettings, defaults: DefaultSettings) -> Target:
    """Return one target, `defaults` filled in."""
    return Target(
        name=settings.name,
        engine=settings.engine,
        cluster=settings.cluster,
        labels=tuple(settings.labels.items()),
        interval_seconds=settings.interval or defaults.interval,
        deadline_seconds=settings.deadline or defaults.deadline,
        series_max=settings.series_max or defaults.series_max,
        database_seconds_per_minute=settings.database_time_per_minute or defaults.database_time_per_minute,
        probes=(*_ordered(defaults.collect), *_ordered(settings.collect)),
        options=settings.options,
    )


def dump(config: Config) -> str:
    """Return the configuration as YAML that `load` reads back equal; inline secrets are masked."""
    whole = config.model_dump(mode="json", exclude_none=True, by_alias=True)
    whole["targets"] = [
        common | settings.options.model_dump(mode="json", exclude_none=True)
        for common, settings in zip(whole["targets"], config.targets, strict=True)
    ]
    return dump_yaml(whole)


def _ordered(collect: dict[str, bool]) -> list[tuple[str, bool]]:
    """Return `*` first, so that a probe's own name wins wherever it stands."""
    return sorted(collect.items(), key=lambda item: item[0] != "*")
