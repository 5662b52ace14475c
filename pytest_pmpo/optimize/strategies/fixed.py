"""Fixed starting prompts: zero-shot chain of thought, step-back, rephrase-and-respond. One round, nothing learned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pytest_pmpo.optimize.pages import page
from pytest_pmpo.optimize.records import Step
from pytest_pmpo.optimize.study import Study

FixedName = Literal["cot", "step-back", "rephrase"]

SENTENCES: dict[FixedName, str] = {
    "cot": "Think it through step by step before you answer.",
    "step-back": "First ask which general rule or principle decides this case, then apply it to the case.",
    "rephrase": "First say the question again in your own words and more fully, then answer it.",
}


@dataclass(frozen=True, slots=True)
class FixedPrompt:
    """The incumbent with one well-known sentence at the end of its instructions."""

    which: FixedName

    @property
    def name(self) -> str:
        """``cot``, ``step-back`` or ``rephrase``."""
        return self.which

    @property
    def settings(self) -> str:
        """The sentence."""
        return SENTENCES[self.which]

    def rounds(self, study: Study) -> Iterator[Step]:
        """A single step: the changed prompt if it can be made and its loss is lower, else the incumbent."""
        sheet = page(study.incumbent.prompt, "instructions")
        prompt = None if sheet is None else sheet.put(f"{sheet.text.rstrip()} {SENTENCES[self.which]}")
        candidate = None if prompt is None else study.admit(prompt, f"{self.which} sentence", parent=study.incumbent)
        if candidate is None:
            yield Step(study.incumbent, False, "the sentence has no place in this prompt")
            return
        before, after = study.means([study.incumbent, candidate], "development")
        yield Step(candidate if after < before else study.incumbent, after < before, candidate.origin)
