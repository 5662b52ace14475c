"""Files made to keep a reader busy: each is read or refused, in time that grows with its size and no faster.

There is no clock here: what is wrong shows as a test that does not end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import PurePosixPath

import pytest

from pytest_pmpo.errors import PmpoError, SourceError
from pytest_pmpo.prompts.formats.base import ParseContext
from pytest_pmpo.prompts.formats.registry import builtin_formats
from pytest_pmpo.prompts.lint import lint

N = 50_000
HEAD = "---\nmodel: m\n---\n"
GITHUB = "messages:\n  - {role: user, content: '{{x}}'}\n"
PROMPTFOO = "prompts: ['{{x}}']\n"

FILES: Mapping[str, tuple[str, str]] = {
    "open braces": ("a.prompt", HEAD + "{{" * N),
    "open comments": ("a.prompt", HEAD + "{{!-- " * N),
    "open comments that almost close": ("a.prompt", HEAD + "{{!-- " + "-- " * N),
    "open raw blocks": ("a.prompt", HEAD + "{{{{a}}}} " * N),
    "open triples": ("a.prompt", HEAD + "{{{a}} " * N),
    "many tags on one line": ("a.prompt", HEAD + "{{a}} " * N),
    "many turns": ("a.prompt", HEAD + '{{~role "user"~}} x ' * (N // 4)),
    "many partial tags": ("a.prompt", HEAD + "{{>p}} " * (N // 4)),
    "partials that double their turns": ("a.prompt", HEAD + "{{>t0}}"),
    "blanks before front matter": ("a.prompt", " \n" * N + HEAD + "x{{y}}"),
    "blanks on a role line": ("a.prompty", HEAD + " " * N + "x\nuser:\n" + "\t " * N),
    "role lines": ("a.prompty", HEAD + "user:\nx\n" * N),
    "images that never close": ("a.prompty", "---\nsample: {a: b}\n---\n" + "![" * N),
    "templated roles": ("a.prompty", HEAD + "{{a}}:\n" * N),
    "open blocks": ("a.prompty", HEAD + "{% if a %}" * N),
    "threads": ("a.prompty", HEAD + "![thread]\n" * N),
    "deep flow": ("a.prompt.yml", "messages: " + "[" * N),
    "deep block": ("a.prompt.yml", "- " * N),
    "deep keys": ("a.prompt.yml", "? " * N),
    "alias bomb": (
        "a.prompt.yml",
        "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 60)) + GITHUB,
    ),
    "alias chain": ("a.prompt.yml", "".join(f"a{n}: &a{n} [*a{n - 1}]\n" if n else "a0: &a0 x\n" for n in range(5000))),
    "merge bomb": (
        "a.prompt.yml",
        "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 90)) + GITHUB,
    ),
    "blank lines in a block": (
        "a.prompt.yml",
        "messages:\n  - role: user\n    content: |\n      a" + "\n" * N + "      b\n",
    ),
    "many messages": ("a.prompt.yml", "messages:\n" + "  - {role: user, content: é}\n" * (N // 10)),
    "many rows": ("a.prompt.yml", GITHUB + "testData:\n" + "  - {x: é, expected: y}\n" * (N // 20)),
    "many evaluators": ("a.prompt.yml", GITHUB + "evaluators:\n" + "  - {name: e, string: {equals: x}}\n" * (N // 20)),
    "many values": ("a.prompt.yml", GITHUB + "x: [" + "1, " * N + "]\n"),
    "long number": ("a.prompt.yml", GITHUB + "x: " + "9" * N + "\n"),
    "placeholder of blanks": ("a.prompt.yml", "messages: [{role: user, content: '{{" + " " * N + "'}]\n"),
    "matrix": (
        "promptfooconfig.yaml",
        PROMPTFOO + "tests:\n  - vars: {" + ", ".join(f"v{n}: [1, 2]" for n in range(60)) + "}\n",
    ),
    "matrix of nothing": ("promptfooconfig.yaml", PROMPTFOO + "tests:\n" + "  - vars: {x: []}\n" * (N // 10)),
    "scenarios": (
        "promptfooconfig.yaml",
        PROMPTFOO + "scenarios:\n  - config: [" + "{}, " * 9000 + "]\n    tests: [" + "{}, " * 9000 + "]\n",
    ),
    "tests left out": (
        "promptfooconfig.yaml",
        PROMPTFOO + "tests:\n" + "".join(f"  - vars: {{x: file://{n}.py}}\n" for n in range(N // 20)),
    ),
    "many JSON lines": ("promptfooconfig.yaml", PROMPTFOO + "tests: big.jsonl\n"),
    "many CSV rows": ("promptfooconfig.yaml", PROMPTFOO + "tests: big.csv\n"),
    "many prompts in a file": ("promptfooconfig.yaml", "prompts: file://many.txt\n"),
    "deep JSON": ("a.messages.json", "[" * N),
    "wide JSON": (
        "a.messages.json",
        '[{"role": "user", "content": "é"}' + ', {"role": "user", "content": "é"}' * (N // 20) + "]",
    ),
    "long JSON number": ("a.messages.json", '{"messages": [{"role": "user", "content": ' + "9" * N + "}]}"),
    "many examples": (
        "a.yaml",
        "_type: few_shot\nsuffix: x\nexample_prompt: {template: '"
        + "{a}" * 999
        + "'}\nexamples:\n"
        + "  - {a: "
        + "y" * 999
        + "}\n" * 999,
    ),
    "f-string of braces": ("a.yaml", "_type: prompt\ntemplate: '" + "{" * N + "'\n"),
    "markdown of braces": ("a.md", "{{" * N),
    "front matter of blanks": ("a.md", "---\n" + " " * N + "x\n---\n{{ y }}"),
    "fixtures that look like keys": ("a.md", "{{ x }} " + "sk-" * N + "eyJ" + "-eyJ" * N),
}
BESIDE = {
    **{f"_t{n}.prompt": f"{{{{>t{n + 1}}}}}{{{{>t{n + 1}}}}}" for n in range(60)},
    "_t60.prompt": '{{role "user"}}x',
    "_p.prompt": "x" * N,
    "big.jsonl": '{"vars": {"x": "é", "label": "y"}}\n' * (N // 20),
    "big.csv": "x,label\n" + "é,y\n" * (N // 20),
    "many.txt": "a\n---\n" * (N // 100),
}


def _read(path: str) -> bytes:
    if path not in BESIDE:
        raise SourceError(f"{path} does not exist")
    return BESIDE[path].encode()


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_read_or_refused(name: str) -> None:
    path, text = FILES[name]
    data = text.encode()
    format = next(f for f in builtin_formats() if f.sniff(PurePosixPath(path), data[:4096]))
    with contextlib.suppress(PmpoError):
        for suite in format.parse(path, data, ParseContext(read=_read)):
            lint(suite)
