"""A run made by hand, with every kind of verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pytest_pmpo.gate.policy import decide
from pytest_pmpo.gate.records import Policy, Verdict
from pytest_pmpo.report.records import BaseFacts, Entry, ModelFacts, Report, RunInfo, Trouble
from pytest_pmpo.scoring.records import FixtureScore, Measurement, MetricInfo, PromptScore, TargetScore

LOSS = MetricInfo("cross-entropy", "nats/token")
ACCURACY = MetricInfo("response-bank", "accuracy", direction="higher", proxy=False, scale="absolute")
WOBBLE = (0.01, -0.02, 0.015, 0.005, -0.01, 0.02, -0.005, 0.0, 0.012, -0.008, 0.004, -0.016)


def scored(values: Sequence[float], prompt: str, metric: MetricInfo, ids: Sequence[str] | None) -> PromptScore:
    names = ids or [f"case-{i}" for i in range(len(values))]
    fixtures = tuple(
        FixtureScore(name, Measurement(v, v), scores=(TargetScore((v - 0.1, v + 0.1), 8),))
        for name, v in zip(names, values, strict=True)
    )
    return PromptScore(prompt, metric, fixtures)


@pytest.fixture
def judge() -> Callable[..., Verdict]:
    """A verdict on base 1.0 everywhere and head = base + shift + a small wobble."""

    def make(
        shift: float,
        *,
        prompt: str = "prompts/triage.prompt.yml",
        model: str = "tiny",
        n: int = 12,
        spread: float = 1.0,
        metric: MetricInfo = LOSS,
        ids: Sequence[str] | None = None,
        policy: Policy | None = None,
    ) -> Verdict:
        head = [1.0 + shift + spread * WOBBLE[i % 12] for i in range(n)]
        base = scored([1.0] * n, prompt, metric, ids)
        return decide(scored(head, prompt, metric, ids), base, policy or Policy(hard_break=None), model=model)

    return make


@pytest.fixture
def new() -> Verdict:
    """A verdict without a base."""
    return decide(scored([1.5], "prompts/new.md", LOSS, None), None, Policy(), model="tiny")


@pytest.fixture
def report(judge: Callable[..., Verdict], new: Verdict) -> Report:
    """One verdict of each kind, and a prompt that could not be judged."""
    unchanged = decide(scored([1.0], "prompts/same.md", LOSS, None), None, Policy(), model="tiny", unchanged=True)
    verdicts = (
        judge(-0.1, prompt="prompts/better.md"),
        unchanged,
        judge(0.0, prompt="prompts/fine.md"),
        judge(0.1),
        new,
        judge(0.1, prompt="prompts/vague.md", spread=20),
        judge(-0.2, prompt="prompts/accuracy.md", metric=ACCURACY),
    )
    before, after = (("system", "Be brief.\nAnswer."),), (("system", "Be very brief.\nAnswer."),)
    return Report(
        RunInfo(
            models=(ModelFacts("tiny", "0123456789abcdef", "cpu", "float32"),),
            base=BaseFacts(
                "aaaabbbbccccdddd", "origin/main", "merge base with origin/main", "2026-11-21", "3 days old"
            ),
            versions={"torch": "2.13.0"},
            seconds=2.5,
            tokens=1234,
            cached_tokens=56,
        ),
        tuple(Entry(v, v.prompt, 3, before, after) for v in verdicts),
        (Trouble("prompts/broken.md", "undefined variable 'nmae'", "prompts/broken.md", 7, "did you mean 'name'?"),),
    )


HOSTILE: tuple[str, ...] = (
    "@octocat fixes #1",
    "![x](https://evil.example/beacon.png)",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "a | b | c",
    "``` \n# heading",
    "`````",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe",
    "zero\u200bwidth",
    "-->",
    "::error::x",
    "100%,a:b",
    "{{ 7 * 7 }}{% raw %}",
    "</details></summary></code>",
    "[text](javascript:alert(1))",
    "\\",
    "closes https://github.com/o/r/issues/1",
)


@pytest.fixture
def hostile() -> tuple[str, ...]:
    """Text that means something to a terminal, to Markdown, to HTML, to a runner or to Jinja."""
    return HOSTILE


@pytest.fixture
def hostile_report(judge: Callable[..., Any]) -> Report:
    """A run in which every text that comes from outside is hostile."""
    entries = []
    for i, text in enumerate(HOSTILE):
        ids = [f"{j} {text}" for j in range(12)]
        verdict = judge(0.1, prompt=f"prompts/{i} {text}", model=text, ids=ids)
        turns = (("system", text), ("user", f"before {text}")), (("system", text), ("user", f"after {text}\n{text}"))
        tokens = dict.fromkeys(ids, (text, text))
        entries.append(Entry(verdict, verdict.prompt, 1, *turns, tokens, (text,)))
    troubles = tuple(Trouble(text, f"{text}\n{text}", f"prompts/{text}", 1, text) for text in HOSTILE)
    joined = " ".join(HOSTILE)
    return Report(RunInfo(suite=joined, no_base=joined, validity=joined), tuple(entries), troubles)
