"""Extension points: formats, metrics and reporters of a conftest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Repo

FORMAT = '''
import hashlib
from pytest_pmpo.prompts.model import Expected, Fixture, Message, Prompt, PromptSuite, Segment

class Combo:
    """First line: a file to include. Then: variants, one a line."""

    name = "combo"

    def sniff(self, path, head):
        return path.name.endswith(".combo")

    def parse(self, path, data, context):
        first, *rest = data.decode().splitlines()
        rules = context.read(first).decode()
        digest = hashlib.sha256(data).hexdigest()
        fixtures = (Fixture("one", {"x": "1"}, Expected("yes")), Fixture("two", {"x": "2"}, Expected("no")))
        return tuple(
            PromptSuite(
                Prompt(path, "combo", "jinja2", (Message("user", (Segment(rules + line),)),), digest, variant=name),
                fixtures,
            )
            for name, line in (row.split(": ", 1) for row in rest)
        )

    def encode(self, prompt, segment, text, data):
        return text.encode()

def pytest_pmpo_formats():
    return [Combo()]
'''


def combo(repo: Repo) -> None:
    """A repository with a format of its own, two prompts in one file, and a file they include."""
    repo.write("conftest.py", FORMAT)
    repo.write("prompts/rules.inc", "Answer yes or no, yes or no.\n")
    repo.write("prompts/two.combo", "prompts/rules.inc\nplain: Is it {{ x }}?\nkind: Please, is it {{ x }}?\n")
    repo.commit()


def test_a_format_of_a_conftest_is_discovered_and_judged(repo: Repo, workers: tuple[str, ...]):
    """Each prompt in a file is an item named after it."""
    combo(repo)
    repo.run("--pmpo", *workers).assert_outcomes(passed=5)
    assert repo.ids("--pmpo", "-k", "combo") == [
        "prompts/two.combo::pmpo[plain-fake]",
        "prompts/two.combo::pmpo[kind-fake]",
    ]


def test_a_changed_include_is_a_change_of_the_prompts_that_read_it(repo: Repo):
    """Their own file has the same bytes; what the model sees is not the same."""
    combo(repo)
    repo.write("prompts/rules.inc", "Decide.\n")
    repo.run("--pmpo", "--pmpo-json=out.json").assert_outcomes(passed=3, failed=2)
    status = {entry["verdict"]["prompt"]: entry["verdict"]["status"] for entry in repo.json()["entries"]}
    assert status["prompts/two.combo#plain"] == status["prompts/two.combo#kind"] == "regressed"
    assert status["prompts/spam.prompt.yml"] == "unchanged"


def test_one_changed_variant_leaves_the_others_unchanged(repo: Repo):
    """Variants are paired by their names."""
    combo(repo)
    repo.edit("prompts/two.combo", "kind: Please, is it", "kind: Could it be")
    repo.edit("prompts/two.combo", "plain:", "bare: New {{ x }}\nplain:")
    repo.run("--pmpo", "--pmpo-json=out.json")
    status = {entry["verdict"]["prompt"]: entry["verdict"]["status"] for entry in repo.json()["entries"]}
    assert status["prompts/two.combo#plain"] == "unchanged"
    assert status["prompts/two.combo#bare"] == "new"
    assert status["prompts/two.combo#kind"] not in ("unchanged", "new")


def test_a_format_of_a_conftest_is_asked_before_the_built_in_ones(repo: Repo):
    """An outsider can take a file over."""
    repo.write("conftest.py", FORMAT.replace('path.name.endswith(".combo")', '"spam" in path.name'))
    repo.write("prompts/rules.inc", "Answer. ")
    repo.write("prompts/spam.prompt.yml", "prompts/rules.inc\nonly: Is it {{ x }}?\n")
    assert "prompts/spam.prompt.yml::pmpo[only-fake]" in repo.ids("--pmpo")


def test_a_metric_of_a_conftest_is_used_by_name(repo: Repo):
    """Its own unit and direction; the gate assumes no loss in nats."""
    repo.write(
        "conftest.py",
        "from pytest_pmpo.scoring.records import Continuation, Measurement, MetricInfo\n"
        "class Certainty:\n"
        "    info = MetricInfo('certainty', 'share', 'higher', proxy=False, scale='absolute')\n"
        "    def supports(self, fixture):\n"
        "        return None\n"
        "    def continuations(self, fixture):\n"
        "        return (Continuation(fixture.label.text),)\n"
        "    def measure(self, fixture, scores):\n"
        "        return Measurement(1 / (1 + scores[0].token_mean))\n"
        "def pytest_pmpo_metrics(end_of_turn):\n"
        "    return [Certainty()]\n",
    )
    repo.worsen()
    result = repo.run("--pmpo", "--pmpo-metric=certainty", "--pmpo-json=out.json")
    result.assert_outcomes(passed=2, failed=1)
    verdict = next(e["verdict"] for e in repo.json()["entries"] if "spam" in e["path"])
    assert verdict["metric"]["name"] == "certainty"
    assert verdict["comparison"]["head_mean"] < verdict["comparison"]["base_mean"]
