"""How the Hydra commands start: overrides are composed once before Hydra sees them, so that a typo gives one line and not its advice."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from rich.console import Console

from geolangbind.errors import GeoLangBindError, SettingsError
from geolangbind.paths import conf_dir


def compose(name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Compose a configuration of conf/ and resolve it.

    Args:
        name: entry file without suffix ("train").
        overrides: `key=value` strings.

    Raises:
        SettingsError: an override is misspelt or malformed, or a group has no such choice.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            groups = [path.name for path in conf_dir().iterdir() if path.is_dir()]
            # what keys there are depends on the choices: teachers=planet brings teachers.choices.siglip.weight
            choices = [override for override in overrides if "=" in override and override.split("=", 1)[0] in groups]
            tree = OmegaConf.to_container(hydra_compose(name, overrides=choices), resolve=False)
            _check(overrides, _keys(tree), _empty(tree), groups)
            composed = OmegaConf.to_container(hydra_compose(name, overrides=list(overrides)), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingsError(_one_line(str(error), overrides)) from None
    return {str(key): value for key, value in composed.items()} if isinstance(composed, dict) else {}


def run(name: str, action: Callable[[dict[str, Any]], None]) -> None:
    """Run a Hydra command line: `key=value` overrides, `-m` for several runs, `--cfg job`, `--help`.

    Args:
        name: entry file in conf/.
        action: called with each resolved configuration.
    """
    arguments = sys.argv[1:]
    overrides = _overrides(arguments)
    if {"-m", "--multirun"} & set(arguments):
        overrides = [_first_of_sweep(override) for override in overrides if "(" not in override]
    try:
        compose(name, overrides)
        _hydra(name, action)
    except GeoLangBindError as error:
        fail(error)


def typed(key: str, default: str) -> str:
    """The value that the command line gives a key, before anything is composed."""
    values = [word.partition("=")[2] for word in _overrides(sys.argv[1:]) if word.startswith(f"{key}=")]
    return values[-1] if values else default


def fail(error: GeoLangBindError) -> NoReturn:
    """Print a user's failure on stderr and leave with its exit code."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/] {_escape(str(error))}")
    raise SystemExit(error.exit_code)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _hydra(name: str, action: Callable[[dict[str, Any]], None]) -> None:
    import hydra
    from omegaconf import DictConfig, OmegaConf

    def job(config: DictConfig) -> None:
        try:
            plain = OmegaConf.to_container(config, resolve=True)
            action({str(key): value for key, value in plain.items()} if isinstance(plain, dict) else {})
        except GeoLangBindError as error:
            fail(error)  # inside Hydra, which would print a traceback of its own

    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=name)(job)()


def _overrides(arguments: Sequence[str]) -> list[str]:
    """The `key=value` words. Options such as `--cfg job` bring a bare word that is none; another configuration is for Hydra to check."""
    if {"--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"} & set(arguments):
        return []
    with_word = ("--cfg", "-c", "--package", "-p", "--info", "-i")
    return [word for before, word in zip(("", *arguments), arguments, strict=False) if not word.startswith("-") and before not in with_word]


def _first_of_sweep(override: str) -> str:
    """`seed=0,1,2` as `seed=0`; lists and quoted text stay whole."""
    return override if set("[{'\"") & set(override) else override.split(",", 1)[0]


def _one_line(message: str, overrides: Sequence[str]) -> str:
    """Hydra's message without its search path and its link."""
    told = " ".join(message.split("Config search path")[0].split(", set the environment")[0].split())
    if "submitit_slurm" in told:
        return "hydra/launcher=slurm needs Hydra's submitit launcher: pip install 'geolangbind[slurm]'"
    if "override_grammar" in told:
        told = told.split(" See https")[0]
        return f"cannot read {' '.join(overrides)}: {told}; put quotes around values with special signs: \"data='my (old) shards'\""
    return told


def _keys(tree: Any, prefix: str = "") -> set[str]:  # noqa: ANN401 - any node of a configuration
    if not isinstance(tree, dict):
        return set()
    found = set()
    for key, value in tree.items():
        found |= {f"{prefix}{key}"} | _keys(value, f"{prefix}{key}.")
    return found


def _empty(tree: Any, prefix: str = "") -> list[str]:  # noqa: ANN401 - any node of a configuration
    """Keys of what has no entries of its own: users bring theirs."""
    if not isinstance(tree, dict):
        return []
    within = [name for key, value in tree.items() for name in _empty(value, f"{prefix}{key}.")]
    return [*within, *(f"{prefix}{key}" for key, value in tree.items() if value == {})]


def _check(overrides: Sequence[str], known: set[str], empty: Sequence[str], groups: Sequence[str]) -> None:
    for override in overrides:
        key, sign, _ = override.partition("=")
        if not sign:
            raise SettingsError(f"'{override}' is not of the form key=value")
        if key.startswith(("+", "~", "hydra")) or key in known or key in groups:
            continue
        if holder := next((name for name in empty if key.startswith(f"{name}.")), None):
            raise SettingsError(f"unknown setting '{key}'; what {holder} does not have yet is added with a plus: +{override}")
        near = [name for name in sorted(known) if name.endswith(f".{key}")] or get_close_matches(key, [*known, *groups], 1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; keys are {', '.join(sorted(k for k in known if '.' not in k))}"
        raise SettingsError(f"unknown setting '{key}'{hint}")
