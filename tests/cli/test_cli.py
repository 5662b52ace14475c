"""The ``pmpo`` command: subcommands, exit codes, messages."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_pmpo.cli import COMMANDS

if TYPE_CHECKING:
    from tests.conftest import Repo


def test_check_of_an_unchanged_tree_is_0(pmpo):
    """One line per prompt, one for the run."""
    done = pmpo("check")
    assert done.code == 0
    assert "prompts/spam.prompt.yml [fake] unchanged: " in done.out
    assert "pmpo: 2 verdicts: 2 unchanged" in done.out


def test_check_of_a_worsened_prompt_is_1_with_its_table(repo: Repo, pmpo):
    """The same table as in pytest."""
    repo.worsen()
    done = pmpo("check")
    assert done.code == 1
    assert "REGRESSED  prompts/spam.prompt.yml under fake" in done.out


def test_check_of_a_broken_prompt_is_2_and_judges_the_others(repo: Repo, pmpo):
    """What could not be judged is worse than what got worse."""
    repo.worsen()
    repo.write("prompts/bad.prompt.yml", "messages: [")
    done = pmpo("check")
    assert done.code == 2
    assert "error: prompts/bad.prompt.yml:1: " in done.out
    assert "REGRESSED" in done.out


def test_check_takes_files_and_folders(pmpo):
    """A folder stands for the configured prompts in it."""
    assert "spam" not in pmpo("check", "prompts/greeting.md").out
    assert "pmpo: 2 verdicts" in pmpo("check", "prompts").out
    missing = pmpo("check", "prompts/none.md")
    assert (missing.code, missing.err) == (2, "pmpo: there is no file prompts/none.md\n")
    assert pmpo("check", "tests").code == 2


def test_check_q_prints_failures_and_the_count(repo: Repo, pmpo):
    """For logs."""
    assert pmpo("check", "-q").out == "pmpo: 2 verdicts: 2 unchanged\n"
    repo.worsen()
    assert "REGRESSED" in pmpo("check", "-q").out


def test_check_writes_reports_and_a_baseline(repo: Repo, pmpo):
    """The plugin's outputs, without its prefix."""
    done = pmpo("check", "--json", "out.json", "--html", "out.html", "--save-baseline", "numbers.json")
    assert done.code == 0
    assert len(repo.json()["entries"]) == 2
    assert (repo.path / "out.html").exists()
    repo.worsen()
    repo.commit()
    assert pmpo("check").code == 0
    assert pmpo("check", "--base", "numbers.json").code == 1
    assert pmpo("check", "--save-baseline", "x.json", "prompts/spam.prompt.yml").code == 2


def test_settings_mistakes_name_the_option_or_the_line(repo: Repo, pmpo):
    """Without the plugin's prefix."""
    assert (
        pmpo("check", "--tolerance", "-1").err == "pmpo: --tolerance should be greater than or equal to 0, not -1.0\n"
    )
    repo.settings("tolerence = 1\n")
    done = pmpo("check")
    assert done.code == 2
    assert "pyproject.toml:3: unknown setting 'tolerence'" in done.err


def test_check_show_config_prints_origins(pmpo):
    """As the plugin's option."""
    assert 'models = ["fake"]  (pyproject.toml:2)' in pmpo("check", "--show-config").out


def test_report_makes_other_reports_from_json(repo: Repo, pmpo):
    """What one job computed, another renders; to a file or to standard output."""
    repo.worsen()
    pmpo("check", "--json", "out.json")
    printed = pmpo("report", "out.json", "--format", "markdown")
    assert printed.code == 0
    assert "prompts/spam.prompt.yml" in printed.out
    assert pmpo("report", "out.json", "--sarif", "out.sarif").code == 0
    assert json.loads((repo.path / "out.sarif").read_text())["runs"]


def test_reports_show_each_answer_token_under_base_and_head(repo: Repo, pmpo):
    """Also when every loss came from the cache and no model was opened."""
    repo.worsen()
    for name in ("first.json", "second.json"):
        pmpo("check", "--json", name, "--html", "out.html", "--markdown", "out.md")
        [entry] = [e for e in repo.json(name)["entries"] if e["path"] == "prompts/spam.prompt.yml"]
        assert entry["tokens"]
        assert set(map("".join, entry["tokens"].values())) <= {"spam", "ham"}
        assert re.search(r"⟨[sh]⟩ \d+\.\d\d → \d+\.\d\d  ⟨[pa]⟩ \d", (repo.path / "out.md").read_text("utf-8"))
        cells = re.findall(
            r'<span class="tok"[^>]*>(.)<small>(\d+\.\d\d)</small>', (repo.path / "out.html").read_text("utf-8")
        )
        assert {letter for letter, _ in cells} == set("spamh")


def test_report_refuses_what_is_no_result(repo: Repo, pmpo):
    """Missing file, other file, no format asked for."""
    assert pmpo("report", "none.json", "--format", "json").code == 2
    assert pmpo("report", "pyproject.toml", "--format", "json").code == 2
    pmpo("check", "--json", "out.json")
    asked = pmpo("report", "out.json").err
    assert "no report asked for" in asked
    assert "hint: --json FILE, --html FILE, --markdown FILE, --sarif FILE; or --format NAME" in asked
    assert "unknown reporter 'jsn'" in pmpo("report", "out.json", "--format", "jsn").err


def test_lint_finds_mistakes_without_a_model(repo: Repo, pmpo):
    """``path:line: severity: message [rule]``; errors are 1, warnings only with ``--strict``."""
    assert pmpo("lint").code == 0
    repo.edit("prompts/greeting.fixtures.yaml", "{name: Ada}", "{name: Ada, mood: fine}")
    done = pmpo("lint")
    assert (done.code, "[unused-variable]" in done.out) == (0, True)
    assert pmpo("lint", "--strict").code == 1
    assert pmpo("lint", "--strict", "--ignore", "unused-variable").code == 0
    repo.write("prompts/bad.prompt.yml", "messages: [")
    repo.edit("prompts/greeting.md", "{{ name }}", "{{ nmae }}")
    done = pmpo("lint")
    assert done.code == 1
    assert "prompts/bad.prompt.yml:1: error: " in done.out
    assert "[placeholder-lost]" in done.out
    assert pmpo("lint", "--ignore", "no-such-rule").code == 2


def test_lint_goes_on_without_a_base(repo: Repo, pmpo):
    """A shallow clone can be linted; a note says what was left out."""
    done = pmpo("lint", "--base", "nowhere")
    assert done.code == 0
    assert "note: not compared with the base: there is no commit 'nowhere'" in done.out
    assert "not compared" not in pmpo("lint", "--base", "nowhere", "--ignore", "base").out


def test_lint_lists_its_rules(pmpo):
    """For ``--ignore``."""
    listed = pmpo("lint", "--rules").out
    assert all(rule in listed for rule in ("duplicate-fixture", "unreadable", "base"))


def test_rank_orders_variants_by_their_loss_on_the_same_fixtures(repo: Repo, pmpo):
    """Best first, each of the others with its distance and interval."""
    repo.write("prompts/ask.a.md", "Sort {{ t }}\n")
    repo.write("prompts/ask.b.md", "Sort {{ t }} into spam or ham, spam or ham, spam, ham\n")
    rows = "".join(f"- {{vars: {{t: message {i}}}, expected: {'spam' if i % 2 else 'ham'}}}\n" for i in range(8))
    repo.write("prompts/ask.fixtures.yaml", rows)
    done = pmpo("rank")
    assert done.code == 0
    places = [line.split()[:2] for line in done.out.splitlines() if line.strip().startswith(("1 ", "2 "))]
    assert places == [["1", "prompts/ask.b.md"], ["2", "prompts/ask.a.md"]]
    assert "8 fixtures under fake: cross-entropy in nats/token, lower is better" in done.out


def test_rank_needs_variants(pmpo):
    """Nothing to rank is said, not printed as an empty table."""
    done = pmpo("rank")
    assert (done.code, "no two prompts with the same fixtures" in done.err) == (2, True)


def test_doctor_shows_versions_prompts_models_cache_and_base(repo: Repo, pmpo):
    """Broken things are shown, and are no failure of looking."""
    repo.write("prompts/bad.prompt.yml", "messages: [")
    done = pmpo("doctor", "--model", "fake", "--model", "./none")
    assert done.code == 0
    for part in ("pytest-pmpo 0.", "base: ", "prompts: 2 files, 4 verdicts, 1 broken", "model fake@1", "cache: "):
        assert part in done.out
    assert "model " in done.out
    assert "there is no model directory" in done.out


def test_a_prompt_named_like_a_document_is_not_passed_over_in_silence(repo: Repo, pmpo):
    """A run says so once where fixtures lie beside it; doctor lists every file that is no prompt, with the reason."""
    repo.write("prompts/README.md", "About these prompts.")
    assert "passed over" not in pmpo("check").out
    repo.write("prompts/changelog.md", "Sum up: {{ text }}")
    repo.write("prompts/changelog.fixtures.yaml", "- {vars: {text: a}, expected: b}")
    assert pmpo("check").out.count("prompts/changelog.md is passed over, being named like a document") == 1
    listed = pmpo("doctor").out
    for name in ("README", "changelog"):
        assert f"passed over prompts/{name}.md: it is named like a document of the repository" in listed


@pytest.mark.parametrize("command", ["check", "lint", "rank"])
def test_a_folder_without_prompts_is_no_success(command: str, repo: Repo, pmpo):
    """In the wrong folder, or before anything is configured, a gate would be green for ever."""
    repo.git("rm", "-rq", "prompts")
    repo.write("pyproject.toml", "[project]\nname = 'x'\nversion = '1'\n")
    done = pmpo(command)
    assert done.code == 2
    assert f"no prompts: there is no 'prompts' in {repo.path}\n  hint: name yours in [tool.pmpo] prompts" in done.err


def test_a_terminal_without_our_signs_keeps_the_minus(repo: Repo):
    """``?0.3 to +0.5`` would hide which way a number goes."""
    repo.worsen()
    environ = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "pytest_pmpo.cli", "check"]
    shown = subprocess.run(command, cwd=repo.path, env=environ, capture_output=True, check=False).stdout.decode("ascii")
    assert "base     head        diff" in shown
    assert re.search(r"fixtures can see >= \d", shown)
    assert "?" not in shown


def test_a_reader_that_leaves_early_makes_no_success(repo: Repo):
    """``pmpo lint | head -1`` under ``pipefail``: what was found was not heard to the end."""
    repo.write("prompts/bad.prompt.yml", "messages: [")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "pytest_pmpo.cli", "lint"]
    done = subprocess.run(command, cwd=repo.path, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_misspelt_option_is_answered_with_the_usage_of_its_command(pmpo):
    """And with the option that may have been meant."""
    done = pmpo("optimize", "prompts/spam.prompt.yml", "--rewriters", "structural")
    assert done.code == 2
    assert done.err.startswith("usage: pmpo optimize")
    assert "unrecognized arguments: --rewriters structural (did you mean --rewriter?)" in done.err


def test_what_is_wrong_with_every_prompt_is_said_once(repo: Repo, pmpo):
    """A base that is not there is one mistake, not one per prompt; the summary still names them all."""
    done = pmpo("check", "--base", "nowhere")
    assert done.out.count("error: there is no commit 'nowhere'") == 1
    assert "2 prompts could not be judged" in done.out


def test_what_is_wrong_with_a_file_of_two_prompts_is_found_once(repo: Repo, pmpo):
    """Both have the file's tests, and what cannot be scored of them."""
    repo.write(
        "prompts/promptfooconfig.yaml",
        "prompts: ['{{x}} short', '{{x}} long']\ntests:\n- vars: {x: a}\n  assert: [{type: equals, value: b},"
        " {type: regex, value: b}]\n",
    )
    done = pmpo("lint", "prompts/promptfooconfig.yaml")
    assert done.out.count("assertion 'regex' (1×) is not scorable by loss") == 1
    assert done.out.endswith("1 note\n")


def test_settings_for_prompts_that_are_not_there_are_named(repo: Repo, pmpo):
    """A misspelt path in an override would leave a prompt ungated, or gated too hard, in silence."""
    repo.settings(
        '[[tool.pmpo.override]]\npaths = ["prompts/spam*"]\nstrict = true\n'
        '[[tool.pmpo.override]]\npaths = ["prompts/greetings.md"]\nstrict = true\n'
        '[tool.pmpo.graders]\n"prompts/maths/" = "number"\n'
    )
    done = pmpo("check")
    assert "pmpo: pyproject.toml:6: the override for prompts/greetings.md matches no prompt\n" in done.out
    assert "pmpo: pyproject.toml:10: the grader for prompts/maths/ matches no prompt\n" in done.out
    assert done.out.count("matches no prompt") == 2
    assert "the override for prompts/greetings.md matches no prompt" in pmpo("doctor").out


def test_a_tolerance_that_was_meant_as_percent_is_named(repo: Repo, pmpo):
    """Under 200 % no prompt regresses, and nobody would see why."""
    repo.settings('[[tool.pmpo.override]]\npaths = ["prompts/spam*"]\ntolerance = 2.0\n')
    done = pmpo("check")
    line = "pmpo: pyproject.toml:3: tolerance = 2 lets a loss grow by 200 %; 2 % is 0.02\n"
    assert line in done.out
    repo.settings('[[tool.pmpo.override]]\npaths = ["prompts/spam*"]\ntolerance = 0.2\n')
    assert "lets a loss grow" not in pmpo("check").out


def test_doctor_measures_the_noise_and_the_gate_uses_it(repo: Repo, pmpo, clean_environment):
    """The fake model's numbers do not depend on their company, so the floor is rounding; a larger one is obeyed."""
    done = pmpo("doctor", "--noise")
    assert done.code == 0
    assert "noise of prompts/spam.prompt.yml [fake]: mean " in done.out
    [file] = (clean_environment / "noise").iterdir()
    assert json.loads(file.read_text())["cross-entropy"] < 1e-12
    file.write_text(json.dumps({"cross-entropy": 5.0}))
    repo.worsen()
    assert pmpo("check", "--json", "out.json").code == 0
    entry = next(entry for entry in repo.json()["entries"] if "spam" in entry["path"])
    assert entry["verdict"]["policy"]["noise_floor"] == 5.0


def test_fetch_names_every_model_the_settings_use(repo: Repo, pmpo):
    """Overrides included; a model that cannot be had is 2."""
    assert pmpo("fetch").out == "fake@1\n"
    repo.settings('[[tool.pmpo.override]]\npaths = ["prompts/*.md"]\nmodels = ["./none"]\n')
    done = pmpo("fetch")
    assert (done.code, "there is no model directory" in done.err) == (2, True)


def test_an_internal_error_is_one_line_and_debug_shows_the_traceback(repo: Repo, pmpo):
    """A bug is told as one, with how to see more."""
    import pytest_pmpo.cli.fetch as fetch

    def broken(arguments):
        raise ZeroDivisionError("a bug")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch, "run", broken)
        done = pmpo("fetch")
        assert (done.code, done.err.splitlines()) == (
            2,
            ["pmpo: internal error: ZeroDivisionError: a bug", "  hint: --debug shows where"],
        )
        assert "Traceback" in pmpo("fetch", "--debug").err


def test_ctrl_c_is_130(pmpo):
    """As shells have it; no traceback."""
    import pytest_pmpo.cli.fetch as fetch

    def stopped(arguments):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch, "run", stopped)
        done = pmpo("fetch")
    assert (done.code, done.out, done.err) == (130, "", "")


def test_usage_is_argparse_s(pmpo):
    """Help, version, unknown commands."""
    assert pmpo("--version").out.startswith("pytest-pmpo ")
    assert all(command.name in pmpo("--help").out for command in COMMANDS)
    assert pmpo("frobnicate").code == 2
    assert pmpo().code == 2


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_command_has_help(pmpo, command: str):
    """Without importing a framework."""
    assert pmpo(command, "--help").code == 0


def test_help_loads_no_framework(repo: Repo):
    """A command's module is imported when it is called, a framework when a model is opened."""
    code = (
        "import sys\nfrom pytest_pmpo.cli import main\n"
        "assert main(['check', '-q']) == 0\n"
        "assert not {'torch', 'transformers', 'scipy', 'pytest'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=repo.path, check=True)


def test_a_cache_that_cannot_be_used_is_told_and_stops_nothing(repo: Repo, pmpo):
    """A folder that cannot be made."""
    repo.write("taken", "a file")
    repo.settings('cache_dir = "taken/cache"\n')
    done = pmpo("check")
    assert done.code == 0
    assert done.out.count("no cache: ") == 1


def test_without_a_command_the_help_names_them_all(pmpo) -> None:
    for arguments in ((), ("--debug",)):
        done = pmpo(*arguments)
        assert (done.code, done.out) == (2, "")
        assert all(f"    {command.name} " in done.err for command in COMMANDS)


def test_check_of_what_only_informs_is_0_with_its_table(repo: Repo, pmpo):
    """Also with ``-q``; whoever reads the log sees it, and nothing is stopped."""
    repo.worsen()
    for quiet in ((), ("-q",)):
        done = pmpo("check", "--blocking", "no-proxy", *quiet)
        assert done.code == 0
        assert "REGRESSED  prompts/spam.prompt.yml under fake" in done.out
        assert "pmpo: 2 verdicts: 1 regressed, 1 unchanged; 1 informs only" in done.out


@pytest.mark.parametrize("command", ["rank", "optimize"])
def test_commands_that_block_nothing_have_no_blocking(pmpo, command: str):
    """They judge no pull request."""
    done = pmpo(command, "prompts/spam.prompt.yml", "--blocking", "never")
    assert (done.code, "--blocking" in done.err) == (2, True)
