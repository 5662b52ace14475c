"""Makes Handlebars and Mustache known; they are imported when the first such template is rendered."""

from __future__ import annotations

from pytest_pmpo.prompts.engines import ENGINES, Template


def _handlebars(template: Template) -> str:
    from pytest_pmpo.prompts.formats.handlebars import render_handlebars

    return render_handlebars(template)


def _mustache(template: Template) -> str:
    from pytest_pmpo.prompts.formats.handlebars import render_mustache

    return render_mustache(template)


ENGINES.setdefault("handlebars", _handlebars)
ENGINES.setdefault("mustache", _mustache)
