"""Variants: which prompts belong together, and on which fixtures they can be compared."""

from __future__ import annotations

from pytest_pmpo.prompts.model import Expected, Fixture, Message, Prompt, PromptSuite, Segment
from pytest_pmpo.prompts.variants import group_variants, label_of


def suite(path: str, *ids: str, variant: str | None = None, format: str = "dotprompt") -> PromptSuite:
    prompt = Prompt(path, format, "none", (Message("user", (Segment("x"),)),), "", variant=variant)
    return PromptSuite(prompt, tuple(Fixture(i, {}, Expected("x")) for i in ids))


def test_files_that_differ_in_the_middle_of_their_name_are_variants() -> None:
    groups = group_variants(
        [
            suite("p/greet.prompt", "1", "2"),
            suite("p/greet.pirate.prompt", "1", "2", variant="pirate"),
            suite("p/other.prompt", "1"),
            suite("q/greet.prompt", "1"),
            suite("p/greet.md", "1", format="text"),
        ]
    )
    assert [(group.name, group.labels) for group in groups] == [("p/greet.prompt", ("default", "pirate"))]


def test_other_suffixes_have_variants_too() -> None:
    (group,) = group_variants(
        [suite("p/a.b.prompt.yml", "1", format="github"), suite("p/a.c.prompt.yml", "1", format="github")]
    )
    assert (group.name, group.labels) == ("p/a.prompt.yml", ("b", "c"))


def test_prompts_of_one_promptfoo_file_are_variants_on_the_fixtures_they_share() -> None:
    one = suite("e/promptfooconfig.yaml", "1", "2", "3", variant="a", format="promptfoo")
    two = suite("e/promptfooconfig.yaml", "3", "2", "4", variant="b", format="promptfoo")
    (group,) = group_variants([two, one])
    assert group.labels == ("a", "b")
    assert [fixture.id for fixture in group.fixtures] == ["2", "3"]
    assert group.left_out == ("1", "4")
    assert all(member.fixtures == group.fixtures for member in group.suites)


def test_a_prompt_that_stands_alone_is_in_no_group() -> None:
    assert group_variants([suite("p/a.prompt", "1"), suite("p/b.prompt", "1")]) == ()


def test_the_label_of_a_file_without_a_variant_is_default() -> None:
    assert label_of(suite("p/a.prompt")) == "default"
    assert label_of(suite("p/a.short.md", format="text")) == "short"
