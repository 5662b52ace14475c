"""Every error this package raises on purpose, drawn as one tree.

::

    PmpoError                     what went wrong, where, what to do
    ├─ ConfigError                [tool.pmpo], the command line, an override
    ├─ PromptError                a prompt file or what belongs to it
    │  ├─ FormatError             the file does not parse, or is refused by name
    │  ├─ TemplateError           undefined variable, sandbox escape, limits exceeded
    │  ├─ FixtureError            a label is missing, empty, duplicated or malformed
    │  └─ EditError               new text does not fit back into the file
    ├─ SourceError                git or the file system cannot give the bytes
    │  └─ BaseUnavailableError    there should be a base, but it is not in this clone
    ├─ ModelError                 the model, its weights or its tokenizer
    │  ├─ ModelNotFoundError      not here; the hint says what to install or download
    │  ├─ NumericsError           NaN or infinity came out of a forward pass
    │  └─ BackendError            a scoring or generating server failed
    ├─ EncodingError              a fixture cannot be turned into tokens and a target
    ├─ BaselineError              a saved baseline does not fit this run
    ├─ BankError                  a response bank is malformed or does not fit
    │  └─ GraderError             a grader raised, hung or disagreed
    └─ OptimizeError              PMPO
       ├─ BudgetError             the budget cannot buy the next step
       ├─ RewriterError           the rewriter answered nothing usable
       └─ ProposalError           patch, branch, push or pull request

All third-party exceptions a user can provoke are turned into one of these at the boundary where they arise; what
escapes the tree is a bug.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a user's file. ``path`` is relative to the repository root where there is one; ``line`` is 1-based."""

    path: str
    line: int | None = None

    def __str__(self) -> str:
        return self.path if self.line is None else f"{self.path}:{self.line}"


class PmpoError(Exception):
    """Base of all errors a user can provoke.

    Args:
        message: what is wrong, in one sentence.
        location: where, if it is in a file.
        hint: what to do about it, in one sentence or one command.
    """

    def __init__(self, message: str, *, location: Location | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.location = location
        self.hint = hint

    def __str__(self) -> str:
        head = self.message if self.location is None else f"{self.location}: {self.message}"
        return head if self.hint is None else f"{head}\n  hint: {self.hint}"

    def sentence(self) -> str:
        """On one line, for the middle of a text: place and message, the hint in brackets."""
        head = self.message if self.location is None else f"{self.location}: {self.message}"
        return head if self.hint is None else f"{head} ({self.hint})"

    def __reduce__(self) -> tuple[object, ...]:
        # keyword-only arguments do not survive the default reduction; xdist and process pools need them to
        return (_rebuild, (type(self), self.message, self.location, self.hint))


def _rebuild(kind: type[PmpoError], message: str, location: Location | None, hint: str | None) -> PmpoError:
    return kind(message, location=location, hint=hint)


class ConfigError(PmpoError):
    """A setting is unknown, malformed or contradicts another."""


class PromptError(PmpoError):
    """A prompt file, or what belongs to it, cannot be used."""


class FormatError(PromptError):
    """A prompt file does not parse in its format, or its kind is refused."""


class TemplateError(PromptError):
    """A template cannot be rendered: undefined variable, sandbox escape, output or time limit."""


class FixtureError(PromptError):
    """A fixture has no label, an empty one, an unknown key, or an id that exists already."""


class EditError(PromptError):
    """New text for a segment cannot be written back into the file."""


class SourceError(PmpoError):
    """The bytes of a file cannot be had from the working tree or from git."""


class BaseUnavailableError(SourceError):
    """A base commit is named or implied but is not in this clone."""


class ModelError(PmpoError):
    """The model, its weights or its tokenizer cannot be used."""


class ModelNotFoundError(ModelError):
    """The model is not on this machine."""


class NumericsError(ModelError):
    """A forward pass gave NaN or infinity."""


class BackendError(ModelError):
    """A scoring or generating server failed."""


class EncodingError(PmpoError):
    """A fixture cannot be turned into context tokens and target tokens."""


class BaselineError(PmpoError):
    """A saved baseline is malformed or was made under another fingerprint."""


class BankError(PmpoError):
    """A response bank is malformed or does not fit the prompt or the model."""


class GraderError(BankError):
    """A grader raised, hung, or disagreed with a kept grade."""


class OptimizeError(PmpoError):
    """The optimizer cannot go on."""


class BudgetError(OptimizeError):
    """The budget cannot buy the next step."""


class RewriterError(OptimizeError):
    """The rewriter answered nothing usable."""


class ProposalError(OptimizeError):
    """The winner cannot be handed over as a patch, branch or pull request."""
