"""Which files are prompts: folders, files and globs, git's ignore rules, and what is refused by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from pytest_pmpo.errors import ConfigError, FormatError, SourceError
from pytest_pmpo.prompts.discovery import HEAD_BYTES, claim, discover, is_companion, survey
from pytest_pmpo.prompts.formats.base import Format, ParseContext
from pytest_pmpo.prompts.formats.text import TextFormat
from pytest_pmpo.prompts.globs import fixed_folder, has_magic, matcher
from pytest_pmpo.prompts.ignore import Ignore
from pytest_pmpo.prompts.model import Prompt, PromptSuite, Segment


class Suffix:
    """A format that claims files by suffix; as much of one as discovery asks for."""

    def __init__(self, suffix: str, word: bytes = b"") -> None:
        self.name = suffix
        self._word = word
        self.shown: list[int] = []

    def sniff(self, path: PurePosixPath, head: bytes) -> bool:
        self.shown.append(len(head))
        return path.name.endswith(f".{self.name}") and self._word in head

    def parse(self, path: str, data: bytes, context: ParseContext) -> tuple[PromptSuite, ...]:
        raise AssertionError("discovery parses nothing")

    def encode(self, prompt: Prompt, segment: Segment, text: str, data: bytes) -> bytes:
        raise AssertionError("discovery writes nothing")


Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes files under a folder: names, or names with contents."""

    def make(*names: str, **contents: str) -> Path:
        for name, text in {**dict.fromkeys(names, ""), **contents}.items():
            target = tmp_path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return tmp_path

    return make


def found(root: Path, *patterns: str, formats: tuple[Format, ...] = ()) -> list[str]:
    return list(discover(root, patterns or ("prompts",), formats or (Suffix("p"),)))


class TestPatterns:
    def test_a_folder_stands_for_all_prompts_below_it_sorted(self, tree: Tree) -> None:
        root = tree("prompts/b.p", "prompts/a.p", "prompts/sub/c.p", "prompts/x.other", "other/d.p")
        assert found(root) == ["prompts/a.p", "prompts/b.p", "prompts/sub/c.p"]

    @pytest.mark.parametrize("pattern", [".", "./", ""])
    def test_the_root_itself(self, tree: Tree, pattern: str) -> None:
        assert found(tree("a.p", "x/b.p"), pattern) == ["a.p", "x/b.p"]

    def test_a_file_by_its_name(self, tree: Tree) -> None:
        assert found(tree("prompts/a.p", "prompts/b.p"), "./prompts//a.p") == ["prompts/a.p"]

    def test_overlapping_patterns_give_each_file_once(self, tree: Tree) -> None:
        assert found(tree("prompts/a.p"), "prompts", "prompts/a.p", "**/*.p") == ["prompts/a.p"]

    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("*.p", ["a.p"]),
            ("**/*.p", ["a.p", "x/b.p", "x/prompts/c.p", "y/prompts/d.p"]),
            ("*/prompts", ["x/prompts/c.p", "y/prompts/d.p"]),
            ("x/**", ["x/b.p", "x/prompts/c.p"]),
            ("x/*", ["x/b.p", "x/prompts/c.p"]),
            ("[xy]/prompts/?.p", ["x/prompts/c.p", "y/prompts/d.p"]),
            ("[!x]/**/*.p", ["y/prompts/d.p"]),
        ],
    )
    def test_globs_match_files_and_folders(self, tree: Tree, pattern: str, names: list[str]) -> None:
        assert found(tree("a.p", "x/b.p", "x/prompts/c.p", "y/prompts/d.p"), pattern) == names

    def test_a_file_whose_name_looks_like_a_glob_is_itself(self, tree: Tree) -> None:
        assert found(tree("a[1].p", "a1.p"), "a[1].p") == ["a[1].p"]

    def test_no_pattern_finds_nothing(self, tree: Tree) -> None:
        assert discover(tree("a.p"), (), (Suffix("p"),)) == ()

    @pytest.mark.parametrize("pattern", ["none", "none/*.p", "none.p"])
    def test_a_pattern_that_is_not_there_is_named(self, tree: Tree, pattern: str) -> None:
        with pytest.raises(ConfigError, match=pattern.replace("*", r"\*")):
            found(tree("a.p"), pattern)

    def test_a_folder_or_glob_without_a_prompt_is_named_with_the_known_formats(self, tree: Tree) -> None:
        root = tree("prompts/x.other")
        for pattern in ("prompts", "prompts/*"):
            with pytest.raises(ConfigError, match="holds no prompt") as caught:
                found(root, pattern)
            assert "1 files, none of a known format: p" in (caught.value.hint or "")

    @pytest.mark.parametrize("pattern", ["../x", "a/../../x", "/etc", "~/x", "C:/x"])
    def test_a_pattern_cannot_leave_the_repository(self, tree: Tree, pattern: str) -> None:
        with pytest.raises(ConfigError, match="leaves the repository"):
            found(tree("a.p"), pattern)


class TestClaims:
    def test_the_first_format_that_claims_a_file_has_it(self) -> None:
        formats = (Suffix("p", b"special"), Suffix("p"))
        assert claim("a.p", b"special", formats) is formats[0]
        assert claim("a.p", b"", formats) is formats[1]
        assert claim("a.q", b"", formats) is None

    def test_formats_are_shown_no_more_than_the_head(self, tree: Tree) -> None:
        format_ = Suffix("p")
        found(tree(**{"a.p": "x" * 3 * HEAD_BYTES}), ".", formats=(format_,))
        assert format_.shown == [HEAD_BYTES]

    def test_a_named_file_no_format_claims_is_refused_with_the_known_formats(self, tree: Tree) -> None:
        with pytest.raises(FormatError, match="no format claims") as caught:
            found(tree("a.xyz"), "a.xyz", formats=(Suffix("p"), Suffix("q")))
        assert caught.value.hint == "known formats: p, q"

    @pytest.mark.parametrize(
        "name", ["a.fixtures.yaml", "a.fixtures.csv", "a.b.fixtures.json", "A.Fixtures.JSONL", "a.responses.jsonl"]
    )
    def test_what_lies_beside_a_prompt_is_none(self, name: str, tree: Tree) -> None:
        assert is_companion(f"prompts/{name}")
        every = Suffix(name.rsplit(".", 1)[-1])
        assert claim(name, b"", (every,)) is None
        with pytest.raises(FormatError):
            found(tree(name), name, formats=(every,))

    @pytest.mark.parametrize("name", ["fixtures.yaml", "a.fixtures.p", "responses.jsonl", "a.yaml"])
    def test_names_that_only_look_like_it_may_be_prompts(self, name: str) -> None:
        assert not is_companion(name)


class TestLinks:
    def test_links_are_passed_over_in_folders(self, tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> None:
        outside = tmp_path_factory.mktemp("outside")
        (outside / "secret.p").write_text("")
        root = tree("prompts/a.p")
        (root / "prompts/out").symlink_to(outside)
        (root / "prompts/loop").symlink_to(root)
        (root / "prompts/b.p").symlink_to("a.p")
        assert found(root) == ["prompts/a.p"]
        assert found(root, "**/*.p") == ["prompts/a.p"]

    def test_a_named_link_is_taken_for_what_it_leads_to(self, tree: Tree) -> None:
        root = tree("shared/prompts/a.p")
        (root / "prompts").symlink_to("shared/prompts")
        (root / "b.p").symlink_to("shared/prompts/a.p")
        for pattern in ("prompts", "b.p", "prompts/*.p", "prompts/a.p"):
            assert found(root, pattern) == ["shared/prompts/a.p"]

    def test_a_named_link_that_leaves_the_repository_is_refused(
        self, tree: Tree, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        outside = tmp_path_factory.mktemp("outside")
        (outside / "a.p").write_text("")
        root = tree("x.p")
        (root / "prompts").symlink_to(outside)
        (root / "a.p").symlink_to(outside / "a.p")
        for pattern in ("prompts", "a.p", "prompts/a.p", "prompts/*.p"):
            with pytest.raises(ConfigError, match="leaves the repository"):
                found(root, pattern)

    def test_the_inside_of_git_cannot_be_named(self, tree: Tree) -> None:
        with pytest.raises((SourceError, ConfigError)):
            found(tree(".git/a.p", ".git/HEAD"), ".git/a.p")


class TestIgnored:
    def test_folders_of_tools_are_passed_over_but_dot_folders_are_not(self, tree: Tree) -> None:
        tools = [".git/HEAD", ".git/a.p", ".venv/a.p", "node_modules/m/a.p", "__pycache__/a.p"]
        root = tree(*tools, ".github/prompts/a.p")
        assert found(root, ".") == [".github/prompts/a.p"]

    def test_a_folder_of_a_tool_can_be_named(self, tree: Tree) -> None:
        assert found(tree("node_modules/m/a.p"), "node_modules/m") == ["node_modules/m/a.p"]

    def test_a_named_file_counts_although_it_is_ignored(self, tree: Tree) -> None:
        root = tree("a.p", **{".gitignore": "*.p"})
        assert found(root, "a.p") == ["a.p"]
        with pytest.raises(ConfigError):
            found(root, ".")

    def test_ignore_files_above_the_root_count_within_one_repository(self, tree: Tree) -> None:
        top = tree(".git/HEAD", "sub/a.p", "sub/b.p", "sub/deep/c.p", **{".gitignore": "b.p\n/sub/deep/\n"})
        assert found(top / "sub", ".") == ["a.p"]

    def test_ignore_files_above_the_repository_do_not_count(self, tree: Tree) -> None:
        top = tree("repo/.git/HEAD", "repo/a.p", **{".gitignore": "*"})
        assert found(top / "repo", ".") == ["a.p"]

    def test_an_ignore_file_with_lines_that_are_no_patterns_is_read_on(self, tree: Tree) -> None:
        root = tree("a.p", "b.p", **{".gitignore": "!\n/\n\\\n[z-a]\nb.p\n"})
        assert found(root, ".") == ["a.p"]

    @pytest.mark.parametrize("data", [b"\xff\xfe\n*.x\n", b"\xef\xbb\xbf*.x\n", b"*.x\r\n", b"\0*.x\n*.x"])
    def test_any_bytes_in_an_ignore_file_are_borne(self, tree: Tree, data: bytes) -> None:
        root = tree("a.p")
        (root / ".gitignore").write_bytes(data)
        assert found(root, ".") == ["a.p"]
        assert Ignore(root).ignores("a.x", is_folder=False)

    RULES = (
        "*.log\n!keep.log\n# comment\n\n/top\nbuild/\ndoc/*.txt\n**/deep\na/**/z\n\\#hash\n\\!bang\ntrail\\ \nq?\n"
        "[xy]1\nout/*\n!out/in\nfoo/*/bar\n*.p~\n"
    )
    NAMES = (
        *("a.log", "keep.log", "sub/keep.log", "sub/b.log", "top", "sub/top", "build/x", "sub/build/x", "build2/x"),
        *("doc/a.txt", "doc/sub/a.txt", "deep/x", "m/n/deep/x", "a/z", "a/b/c/z", "#hash", "!bang", "trail ", "trail"),
        *("q1", "q12", "x1", "z1", "out/in/x", "out/other", "foo/m/bar", "foo/m/n/bar", "x.p~", "nested/keep.log"),
        *("nested/own", "nested/b.log", "nested/deeper/own", "nested/deeper/c.log", "build/keep.log"),
    )

    def test_it_agrees_with_git(self, tree: Tree) -> None:
        root = tree(*self.NAMES, **{".gitignore": self.RULES, "nested/.gitignore": "own\n!b.log\n"})
        (root / "nested/deeper/.gitignore").write_text("!own\n*\n!c.log\n!.gitignore\n")
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        listed = subprocess.run(
            ["git", "-c", "core.excludesFile=", "ls-files", "--others", "--exclude-standard", "-z"],
            cwd=root,
            check=True,
            capture_output=True,
        )
        by_git = sorted(name for name in listed.stdout.decode().split("\0") if name)

        class Everything(Suffix):
            def sniff(self, path: PurePosixPath, head: bytes) -> bool:
                return True

        assert found(root, ".", formats=(Everything("all"),)) == by_git


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are not Unicode")
def test_a_prompt_whose_name_is_not_unicode_is_refused(tree: Tree) -> None:
    root = tree("a.p")
    (Path(os.fsdecode(os.fsencode(root) + b"/\xff.p"))).write_text("")
    with pytest.raises(SourceError, match="not Unicode"):
        found(root, ".")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_folder_that_cannot_be_read_is_an_error(tree: Tree) -> None:
    root = tree("prompts/a.p", "prompts/closed/b.p")
    (root / "prompts/closed").chmod(0)
    try:
        with pytest.raises(SourceError, match="cannot be read"):
            found(root)
    finally:
        (root / "prompts/closed").chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_among_the_files_is_passed_over(tree: Tree) -> None:
    root = tree("prompts/a.p")
    os.mkfifo(root / "prompts/b.p")
    assert found(root) == ["prompts/a.p"]


class TestGlobs:
    @pytest.mark.parametrize(
        ("pattern", "path", "matches"),
        [
            ("*.p", "a.p", True),
            ("*.p", "x/a.p", False),
            ("**/a.p", "a.p", True),
            ("**/a.p", "x/y/a.p", True),
            ("x/**", "x/y/a.p", True),
            ("x/**", "x", False),
            ("a?.p", "ab.p", True),
            ("a?.p", "a/.p", False),
            ("[a-c].p", "b.p", True),
            ("[!a-c].p", "b.p", False),
            ("[^a].p", "/.p", False),
            ("[]].p", "].p", True),
            ("[a.p", "[a.p", True),
            ("[z-a].p", "b.p", False),
            ("a.p", "aXp", False),
            ("***", "abc", True),
            ("*.p", "a.p\n", False),
            ("[\\d].p", "1.p", False),
            ("[[:x].p", ":.p", True),
        ],
    )
    def test_a_glob_matches_whole_paths(self, pattern: str, path: str, matches: bool) -> None:
        assert matcher(pattern)(path) is matches

    def test_a_run_of_stars_does_not_take_forever(self) -> None:
        assert not matcher("*" * 60 + "b")("a" * 4000)

    @pytest.mark.parametrize(
        ("pattern", "folder"), [("a/b/*.p", "a/b"), ("*.p", ""), ("a/*/b/c", "a"), ("a/b.p", "a"), ("**", "")]
    )
    def test_a_walk_starts_in_front_of_the_first_wildcard(self, pattern: str, folder: str) -> None:
        assert fixed_folder(pattern) == folder

    def test_what_is_a_glob(self) -> None:
        assert [has_magic(text) for text in ("a/b.p", "a*", "a?", "[a]")] == [False, True, True, True]


class TestPassedOver:
    """What lies among the prompts and is none is known by name."""

    def test_files_no_format_claims_are_listed_but_not_those_that_belong_to_a_prompt(self, tree: Tree) -> None:
        root = tree("prompts/a.p", "prompts/README.md", "prompts/x.png", "prompts/a.fixtures.yaml", "other/b.md")
        found = survey(root, ["prompts"], (Suffix("p"),))
        assert found.prompts == ("prompts/a.p",)
        assert found.passed_over == ("prompts/README.md", "prompts/x.png")
        assert found.matched == frozenset()

    def test_what_a_glob_matched_is_marked(self, tree: Tree) -> None:
        root = tree("prompts/a.md", "prompts/changelog.md", "more/b.md", "more/history.md")
        found = survey(root, ["prompts/*.md", "more"], (TextFormat(),))
        assert found.passed_over == ("more/history.md", "prompts/changelog.md")
        assert found.matched == {"prompts/changelog.md"}

    def test_a_document_named_by_its_path_is_an_error_that_says_how_to_name_it(self, tree: Tree) -> None:
        root = tree("prompts/changelog.md")
        for pattern in ("prompts/changelog.md", "prompts"):
            with pytest.raises((FormatError, ConfigError)) as caught:
                discover(root, [pattern], (TextFormat(),))
            assert "named like a document" in str(caught.value)
            assert "rename it" in str(caught.value)
