"""Files that hold data, YAML or JSON, by their suffix."""

from __future__ import annotations

from pytest_pmpo.prompts.formats.filetext import FileText
from pytest_pmpo.prompts.formats.jsondoc import compose_json
from pytest_pmpo.prompts.formats.yamldoc import YamlDocument, compose


def is_json(file: FileText) -> bool:
    """Whether a file is JSON by its name."""
    return file.path.lower().endswith(".json")


def compose_file(file: FileText) -> YamlDocument:
    """The document of a YAML or JSON file.

    Raises:
        FormatError: it does not parse.
    """
    if is_json(file):
        return compose_json(file)
    return compose(file)
