"""``--pmpo``: when prompts are judged, which ones, and what a person sees."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Repo

UNIT = "tests/test_unit.py::test_unit"
GREETING = "prompts/greeting.md::pmpo[fake]"
SPAM = "prompts/spam.prompt.yml::pmpo[fake]"
SHOWN = {GREETING: GREETING.replace("[", "[[]"), SPAM: SPAM.replace("[", "[[]")}
"""As fnmatch patterns."""


def test_an_unchanged_tree_passes(repo: Repo, workers: tuple[str, ...]):
    """Every prompt is the same as in the base: all pass, beside the tests."""
    result = repo.run("--pmpo", *workers)
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["pmpo: 2 verdicts: 2 unchanged"])


def test_a_worsened_prompt_fails_with_one_table_and_no_traceback(repo: Repo, workers: tuple[str, ...]):
    """Exit code 1, base and head and the worst fixtures, what to do; the others go on."""
    repo.worsen()
    result = repo.run("--pmpo", *workers)
    assert result.ret == 1
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*REGRESSED*prompts/spam.prompt.yml under fake*", "*base*head*Δ*", "*worst*", "*What to do*"]
    )
    result.stdout.fnmatch_lines([f"FAILED {SHOWN[SPAM]} - regressed: *"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*PromptRegressionError*")
    result.stdout.no_fnmatch_line("*items.py*")


def test_an_improved_prompt_passes_and_says_so(repo: Repo):
    """``improved`` is a pass with a better number."""
    repo.improve()
    result = repo.run("--pmpo", "-v")
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"{SHOWN[SPAM]} PASSED improved: *better*nats/token*"])


def test_v_gives_one_line_per_prompt_with_its_verdict(repo: Repo):
    """The verdict's word and numbers stand behind PASSED; a failure keeps pytest's word and has its table."""
    repo.worsen()
    result = repo.run("--pmpo", "-v")
    result.stdout.fnmatch_lines([f"{SHOWN[GREETING]} PASSED unchanged: * nats/token*", f"{SHOWN[SPAM]} FAILED*"])


def test_q_prints_the_count_alone(repo: Repo):
    """Quiet is quiet: one line of ours."""
    result = repo.run("--pmpo", "-q")
    assert [line for line in result.outlines if "pmpo" in line or "prompts" in line] == [
        "pmpo: 2 verdicts: 2 unchanged"
    ]


def test_the_header_names_model_device_dtype_and_base_with_its_age(repo: Repo):
    """What the run is about to do, before it does it."""
    result = repo.run("--pmpo", "--collect-only")
    commit = repo.git("rev-parse", "--short", "HEAD")
    result.stdout.fnmatch_lines(["pmpo: fake on cpu, float32", f"pmpo: base: {commit} (the last commit), *"])


def test_no_header_is_printed_where_pytest_is_told_so(repo: Repo):
    """``--no-header`` is pytest's to obey."""
    result = repo.run("--pmpo", "--no-header")
    result.stdout.no_fnmatch_line("pmpo: base:*")


def test_every_configured_prompt_is_collected_whatever_testpaths_says(repo: Repo):
    """The tests of ``testpaths``, then all prompts, sorted."""
    assert repo.ids("--pmpo") == [UNIT, GREETING, SPAM]


def test_without_testpaths_nothing_is_collected_twice(repo: Repo):
    """pytest walks the whole tree then, and still each prompt is one item."""
    repo.write("pytest.ini", "[pytest]\n")
    assert repo.ids("--pmpo") == [UNIT, GREETING, SPAM]


def test_a_test_named_on_the_command_line_runs_without_prompts(repo: Repo):
    """Who asks for one test gets one test."""
    assert repo.ids("--pmpo", "tests/test_unit.py") == [UNIT]


def test_a_folder_on_the_command_line_brings_its_configured_prompts(repo: Repo):
    """Folders mean what is below them, prompts too; other folders bring none."""
    repo.write("prompts/deep/other.md", "Hello {{ name }}\n")
    repo.write("prompts/deep/other.fixtures.csv", "name,expected\nAda,hello\n")
    deep = "prompts/deep/other.md::pmpo[fake]"
    assert repo.ids("--pmpo", "prompts") == [deep, GREETING, SPAM]
    assert repo.ids("--pmpo", "prompts/deep") == [deep]
    assert repo.ids("--pmpo", ".") == [UNIT, deep, GREETING, SPAM]
    assert repo.ids("--pmpo", "tests") == [UNIT]


def test_a_prompt_named_on_the_command_line_is_judged_without_pmpo_too(repo: Repo):
    """Naming it is asking for it; by file, by item, with other arguments, and once if named twice."""
    assert repo.ids("prompts/spam.prompt.yml") == [SPAM]
    assert repo.ids(SPAM) == [SPAM]
    assert repo.ids("tests", "prompts/greeting.md") == [UNIT, GREETING]
    assert sorted(repo.ids("prompts", "prompts/spam.prompt.yml", "--pmpo")) == [GREETING, SPAM]


def test_a_prompt_outside_the_configured_folders_can_be_named(repo: Repo):
    """The configuration says what is judged by default, not what may be judged."""
    repo.write("elsewhere/x.prompt.yml", (repo.path / "prompts/spam.prompt.yml").read_text())
    result = repo.run("elsewhere/x.prompt.yml", "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["elsewhere/x.prompt.yml::pmpo[[]fake] PASSED new: *"])


def test_a_plain_text_file_is_a_prompt_only_with_fixtures_beside_it(repo: Repo):
    """``pytest README.md`` stays what it was; a named prompt's examples are never run as doctests."""
    repo.write("README.md", "Read me\n")
    repo.write("notes.txt", ">>> 1 + 1\n3\n")
    assert repo.ids("README.md") == []
    assert repo.run("notes.txt").ret == 1  # pytest's own doctest, as without the plugin
    repo.write("prompts/code.txt", ">>> raise SystemExit('a prompt was run')\n{{ name }}\n")
    repo.write("prompts/code.fixtures.csv", "name,expected\nAda,hello\n")
    result = repo.run("--pmpo", "prompts/code.txt")
    result.assert_outcomes(passed=1)


def test_prompts_in_hidden_folders_are_reached(repo: Repo):
    """pytest does not descend into ``.github``; the configuration does."""
    repo.write(".github/prompts/a.prompt.yml", (repo.path / "prompts/spam.prompt.yml").read_text())
    repo.settings('prompts = [".github/prompts"]\n')
    repo.write("pytest.ini", "[pytest]\n")
    assert repo.ids("--pmpo") == [UNIT, ".github/prompts/a.prompt.yml::pmpo[fake]"]


def test_ignored_files_are_not_collected(repo: Repo):
    """.gitignore, ``--ignore``, ``--ignore-glob`` and ``collect_ignore`` hold for prompts."""
    assert repo.ids("--pmpo", "--ignore=prompts/spam.prompt.yml") == [UNIT, GREETING]
    assert repo.ids("--pmpo", "--ignore=prompts") == [UNIT]
    assert repo.ids("--pmpo", "--ignore-glob=*greeting*") == [UNIT, SPAM]
    repo.write(".gitignore", "__pycache__\n.pytest_cache\ngreeting.md\n")
    assert repo.ids("--pmpo") == [UNIT, SPAM]
    repo.write(".gitignore", "__pycache__\n.pytest_cache\n")
    repo.write("conftest.py", "collect_ignore = ['prompts/spam.prompt.yml']\n")
    assert repo.ids("--pmpo") == [UNIT, GREETING]
    repo.write("prompts/conftest.py", "collect_ignore_glob = ['*.md']\n")
    assert repo.ids("--pmpo") == [UNIT]


def test_collect_only_touches_no_model(repo: Repo):
    """Collection knows prompts and models by name only: a model that is not there does not matter."""
    repo.settings("")
    assert repo.ids("--pmpo", "--pmpo-model=./no/such/model") == [
        UNIT,
        "prompts/greeting.md::pmpo[model]",
        "prompts/spam.prompt.yml::pmpo[model]",
    ]


def test_a_project_without_prompts_is_told_how_to_name_them(repo: Repo):
    """No prompts yet is no error; the header says what to do."""
    repo.git("rm", "-rq", "prompts")
    result = repo.run("--pmpo")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["pmpo: no prompts: there is no 'prompts'; name yours in [[]tool.pmpo] prompts"])


def test_a_configured_folder_that_is_not_there_stops_the_run(repo: Repo):
    """A typing mistake in ``prompts`` must not pass as nothing to do."""
    repo.settings('prompts = ["promts"]\n')
    result = repo.run("--pmpo")
    assert result.ret == 4
    assert "ERROR: prompts: there is no 'promts'" in result.stderr.str()
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_a_mistake_in_the_settings_stops_the_run_with_its_line(repo: Repo):
    """Usage error, file, line and near miss; only in runs that judge prompts."""
    repo.settings("tolerence = 0.1\n")
    result = repo.run("--pmpo")
    assert result.ret == 4
    message = result.stderr.str()
    assert "ERROR: pyproject.toml:3: unknown setting 'tolerence'" in message
    assert "did you mean 'tolerance'?" in message
    assert repo.run().ret == 0


def test_pytest_from_a_subfolder_finds_the_same_prompts(repo: Repo, monkeypatch):
    """Where one stands does not matter: ids are relative to the rootdir, as for tests."""
    monkeypatch.chdir(repo.path / "tests")
    result = repo.pytester.runpytest_inprocess(
        "--pmpo", "--rootdir", str(repo.path), "-c", str(repo.path / "pytest.ini")
    )
    result.assert_outcomes(passed=3)


def test_a_project_in_a_subfolder_of_the_repository_has_its_own_prompts(repo: Repo, monkeypatch):
    """A monorepo's service: the nearest settings, paths from there, the base from the repository."""
    repo.write(
        "service/pyproject.toml", '[tool.pmpo]\nmodel = "fake"\nprompts = ["texts"]\n[tool.pytest.ini_options]\n'
    )
    repo.write("service/texts/a.prompt.yml", (repo.path / "prompts/spam.prompt.yml").read_text())
    repo.commit()
    repo.edit("service/texts/a.prompt.yml", "Examples of answers: spam, ham, spam, ham.", "Just decide.")
    monkeypatch.chdir(repo.path / "service")
    result = repo.pytester.runpytest_inprocess("--pmpo", "-v")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["texts/a.prompt.yml::pmpo[[]fake] FAILED*"])


def test_the_plugin_can_be_switched_off(repo: Repo):
    """``-p no:pmpo`` leaves a pytest that does not know the option."""
    result = repo.run("-p", "no:pmpo")
    result.assert_outcomes(passed=1)
    assert repo.run("-p", "no:pmpo", "--pmpo").ret == 4


def test_it_works_without_the_cache_provider(repo: Repo):
    """``-p no:cacheprovider`` takes nothing this plugin needs."""
    result = repo.run("--pmpo", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3)


def test_strict_pytest_settings_are_kept(repo: Repo):
    """Markers, settings and xfail, all strict; warnings as errors."""
    repo.write("pytest.ini", "[pytest]\ntestpaths = tests\naddopts = --strict-markers --strict-config -W error\n")
    result = repo.run("--pmpo")
    result.assert_outcomes(passed=3)


def test_junit_carries_the_verdict_and_every_fixture(repo: Repo, workers: tuple[str, ...]):
    """``user_properties`` reach the XML, from a worker too; it stays well-formed."""
    from xml.etree import ElementTree

    repo.worsen()
    repo.run("--pmpo", "--junitxml=junit.xml", *workers)
    root = ElementTree.parse(repo.path / "junit.xml").getroot()
    case = next(case for case in root.iter("testcase") if "spam" in case.get("classname", ""))
    properties = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert properties["pmpo_status"] == "regressed"
    assert properties["pmpo_model"] == "fake@1"
    assert float(properties["pmpo_head"] or 0) > float(properties["pmpo_base"] or 0)
    assert sum(str(name).startswith("pmpo_fixture[") for name in properties) == 6
    failure = case.find("failure")
    assert failure is not None
    assert "REGRESSED" in (failure.text or "")


def test_a_failure_points_at_the_prompts_own_line(repo: Repo):
    """Editors and annotations jump to the file and the line of its text."""
    repo.write(
        "conftest.py",
        "def pytest_runtest_logreport(report):\n"
        "    if 'spam' in report.nodeid and report.when == 'call':\n"
        "        print('AT', report.location[0], report.location[1], report.longrepr.reprcrash.lineno)\n",
    )
    repo.worsen()
    result = repo.run("--pmpo", "-s")
    place = os.path.join("prompts", "spam.prompt.yml")
    result.stdout.fnmatch_lines([f"*AT {place} 4 5"])


def test_what_could_not_be_scored_is_counted_and_listed(repo: Repo):
    """An evaluator that loss says nothing about is never silently passed."""
    with (repo.path / "prompts/spam.prompt.yml").open("a") as file:
        file.write("evaluators:\n  - name: tone\n    llm: {modelId: x/y, prompt: Is it polite?, choices: []}\n")
    result = repo.run("--pmpo")
    result.stdout.fnmatch_lines(["*1 note on what was read; -v shows all"])
    result = repo.run("--pmpo", "-v")
    result.stdout.fnmatch_lines(["*note: prompts/spam.prompt.yml:*tone*"])
