"""``pmpo fetch``: get every model the settings name onto this machine."""

from __future__ import annotations

import argparse

from pytest_pmpo.app.check import Checker
from pytest_pmpo.cli.common import add_options, notify, open_project
from pytest_pmpo.options import SETTINGS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which models: those of the settings, or others."""
    add_options(parser, (option for option in SETTINGS if option.setting == "models"))


def run(arguments: argparse.Namespace) -> int:
    """Resolve each model; that downloads, converts and checks it."""
    project = open_project(arguments)
    models = Checker(project, notify=notify).models
    for spec, settings in project.models():
        engine = models.engine(spec, settings)
        place = "" if engine.model.directory is None else f"  {engine.model.directory}"
        print(f"{engine.model.name}@{engine.model.revision}{place}")
    return 0
