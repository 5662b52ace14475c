"""Which grader grades the responses of a prompt, and whether it may.

In this order: the one the command line names; the one ``[tool.pmpo.graders]`` names for the prompt; the one that graded
the bank so far, where its name says all of it; the one the labels suggest.

A pull request can edit the configuration. A grader that only compares texts can do no harm there, but a function is
code, and a judge is sent data and a key. Those two are taken from the configuration only as far as the base commit's
says the same, and a function only while no code in the repository differs from the base. The command line, which the
pull request's files do not write, may name any.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath

from pytest_pmpo.app.project import Project, Task
from pytest_pmpo.app.trust import table_of_base
from pytest_pmpo.config import Config, changed
from pytest_pmpo.errors import ConfigError, GraderError, Location, PmpoError
from pytest_pmpo.prompts.source import Base, changed_doors, changed_paths
from pytest_pmpo.responses.graders.base import Grader
from pytest_pmpo.responses.graders.select import FOREIGN, GRADERS, GraderSpec, default_grader, make_grader, opened
from pytest_pmpo.responses.records import GIVEN, Bank
from pytest_pmpo.responses.regrade import require_agreement
from pytest_pmpo.scoring.backends.chat_server import parse_server

FindBase = Callable[[], Base | None]
CODE = (".py", ".pyc", ".pyd", ".so", ".pth")


@contextmanager
def grader_for(
    project: Project, task: Task, bank: Bank, find_base: FindBase, named: str | None = None
) -> Iterator[Grader]:
    """The grader of a prompt's bank; its process, if it has one, ends with the block.

    Args:
        find_base: the base commit as command line and environment give it, whatever the head's configuration says.
        named: by the command line: a name, or ``module:function``.

    Raises:
        ConfigError: no grader is called so, or the configuration's may not run here; with file and line.
        GraderError: the labels suggest none.
    """
    with opened(_grader(project, task, bank, find_base, named)) as grader:
        yield grader


def require_same_grader(bank: Bank, task: Task, grader: Grader) -> None:
    """Refuse to mix the grades of two graders, or of one that has changed its mind, in one bank.

    Raises:
        GraderError: naming both graders, or the first line with another grade.
    """
    others = sorted({row.grader for row in bank.responses if row.grader not in (None, GIVEN, grader.identity)})
    if others:
        raise GraderError(
            f"the bank was graded by {', '.join(map(str, others))}, but new responses would be by {grader.identity}",
            location=Location(bank.path),
            hint=f"name the same with --grader or in [tool.pmpo.graders], or: pmpo bank grade {task.path}",
        )
    if not grader.identity.startswith("judge("):  # a judge is asked once per response, for each question costs
        require_agreement(bank, task.suite.fixtures, grader)


def _grader(project: Project, task: Task, bank: Bank, find_base: FindBase, named: str | None) -> Grader:
    if named is not None:
        return _make(project, GraderSpec.parse(named))
    configured = _configured(project.config, project, task.path)
    if configured is not None:
        glob, spec = configured
        if spec.name in FOREIGN:
            _require_trust(project, task.path, glob, spec, find_base())
        return _make(project, spec)
    used = {row.grader for row in bank.responses if row.grader not in (None, GIVEN)}
    if len(used) == 1 and (name := str(next(iter(used)))) in GRADERS and name not in FOREIGN:
        return _make(project, GraderSpec(name))
    return default_grader(task.suite.fixtures)


def _make(project: Project, spec: GraderSpec) -> Grader:
    options = dict(spec.options)
    ask = None
    if spec.name == "judge" and "model" in options:
        server = parse_server(str(options["model"]), os.environ)
        options["model"], ask = server.model, server.ask
    return make_grader(spec.name, options, root=project.config.folder, ask=ask)


def _configured(config: Config, project: Project, path: str) -> tuple[str, GraderSpec] | None:
    found = config.grader_for(project.below_config(path))
    return None if found is None else (found[0], GraderSpec.parse(found[1]))


def _require_trust(project: Project, path: str, glob: str, spec: GraderSpec, base: Base | None) -> None:
    what = f"the grader {spec.options.get('function', spec.name)!r}"
    hint = "name it with --grader on the command line, or merge it first"
    if base is None:
        raise _refused(project, glob, f"{what} counts only once it is in a base commit, and there is none", hint)
    if _of_base(project, path, base) != spec:
        raise _refused(project, glob, f"{what} counts only once the base commit {base.short} names it too", hint)
    if spec.name == "function":
        code = _changed_code(project, base)
        if code:
            more = f" and {len(code) - 1} more" if len(code) > 1 else ""
            message = f"{what} is not run, for code differs from the base {base.short}: {code[0]}{more}"
            raise _refused(project, glob, message, hint)


def _of_base(project: Project, path: str, base: Base) -> GraderSpec | None:
    """The grader the base commit's configuration names for a prompt; None too where that is broken."""
    graders: Mapping[str, object] = table_of_base(project, base).get("graders", {})
    try:
        settings = changed(project.config.settings, {"graders": graders})
        found = Config(settings, project.config.folder, None, {}).grader_for(project.below_config(path))
        return None if found is None else GraderSpec.parse(found[1])
    except PmpoError:
        return None


def _changed_code(project: Project, base: Base) -> Sequence[str]:
    """Changed files that Python may run, and submodules and links, behind which some may lie."""
    files = (path for path in changed_paths(project.root, base) if PurePosixPath(path).suffix in CODE)
    return sorted({*files, *changed_doors(project.root, base)})


def _refused(project: Project, glob: str, message: str, hint: str) -> ConfigError:
    file = project.config.file
    return ConfigError(message, hint=hint) if file is None else file.error(message, ("graders", glob), hint)
