"""A base is read for its prompts alone: what is wrong with its fixtures must not keep the head from being judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pmpo.errors import FixtureError
from pytest_pmpo.prompts.formats.registry import builtin_formats
from pytest_pmpo.prompts.load import load, load_prompts
from pytest_pmpo.prompts.source import WorkingTree

BROKEN = {
    "a.prompt.yml": "messages:\n- role: user\n  content: '{{x}}'\ntestData:\n- x: a\n  expected: ''\n",
    "a.prompty": "---\nname: a\nmetadata:\n  pmpo:\n    fixtures:\n    - expected: ''\n---\nuser:\n{{x}}\n",
    "a.prompt": "---\npmpo.fixtures:\n- expected: ''\n---\n{{x}}\n",
    "promptfooconfig.yaml": "prompts: ['{{x}}']\nproviders: [a]\n"
    "tests:\n- vars: {x: a}\n  assert: [{type: equals, value: ''}]\n",
    "chain.yaml": "_type: prompt\ninput_variables: [x]\ntemplate: '{x}'\n"
    "metadata:\n  pmpo:\n    fixtures:\n    - expected: ''\n",
    "chat.json": '{"messages": [{"role": "user", "content": "hi"}], "fixtures": [{"expected": ""}]}',
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_label_fails_the_head_and_not_the_base(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(BROKEN[name])
    source = WorkingTree(tmp_path)
    with pytest.raises(FixtureError, match=name.replace(".", r"\.")):
        load(source, name, builtin_formats())
    (suite,) = load_prompts(source, name, builtin_formats())
    assert suite.fixtures == ()
    assert suite.prompt.messages
