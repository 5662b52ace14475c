"""GEPA (arXiv 2507.19457) through its published package, on the same losses, journal and budget.

The package owns its loop. It runs in a thread that is let go for one iteration at a time, so that rounds can be
counted, shown and stopped like those of any other strategy; the two threads never run at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_pmpo.errors import OptimizeError, PmpoError
from pytest_pmpo.optimize.metaprompts import shown_case
from pytest_pmpo.optimize.pages import Page, page
from pytest_pmpo.optimize.records import Candidate, Step
from pytest_pmpo.optimize.rewriters.base import Reply
from pytest_pmpo.optimize.study import Study
from pytest_pmpo.prompts.model import Fixture, Turn

COMPONENT = "instructions"
UNUSABLE = 10.0
"""A text that breaks a constraint scores as much worse than the incumbent's worst fixture, in the objective's unit."""


@dataclass(frozen=True, slots=True)
class Gepa:
    """Reflective mutation with a Pareto pool over the selection fixtures, ``minibatch`` train fixtures per trial."""

    minibatch: int = 3

    @property
    def name(self) -> str:
        """``gepa``."""
        return "gepa"

    @property
    def settings(self) -> str:
        """The size of the minibatch."""
        return f"minibatch={self.minibatch}"

    def rounds(self, study: Study) -> Iterator[Step]:
        """One iteration of the package a round.

        Raises:
            OptimizeError: if the package is not installed or fails.
        """
        try:
            from gepa.api import optimize
        except ImportError as error:
            raise OptimizeError(
                "the strategy gepa needs the gepa package", hint="pip install 'pytest-pmpo[gepa]'"
            ) from error
        adapter = _Adapter(study)
        stepper = _Stepper(adapter)
        port: Any = adapter  # the package's protocol is generic in ways a plain class cannot say

        def work() -> None:
            optimize(
                seed_candidate={COMPONENT: adapter.sheet.text},
                trainset=list(study.fixtures("train")),
                valset=list(study.fixtures("selection")),
                adapter=port,
                reflection_lm=adapter.reflect,
                reflection_minibatch_size=self.minibatch,
                stop_callbacks=stepper.pause,
                logger=_Quiet(),
                skip_perfect_score=False,
                seed=study.seed,
            )

        before = study.incumbent.digest
        for _ in stepper.iterations(work):
            best = adapter.best()
            yield Step(best, best.digest != before, best.origin if best.digest != before else "no lower loss")
            before = best.digest


class _Quiet:
    def log(self, message: str) -> None:
        """The package's own log is not shown; what matters of it is in the rounds."""


class _Adapter:
    """Scores texts for the package. Higher is better there, so a score is a loss with its sign turned."""

    propose_new_texts = None

    def __init__(self, study: Study) -> None:
        sheet = page(study.incumbent.prompt, study.language.scope)
        if sheet is None:
            raise OptimizeError("this prompt has no text that may be rewritten")
        self.sheet: Page = sheet
        self.error: BaseException | None = None
        self._study = study
        self._candidates: dict[str, Candidate | None] = {sheet.text: study.incumbent}
        (losses,) = study.losses([study.incumbent], "development")
        self._unusable = -(max(losses) + UNUSABLE)

    def evaluate(self, batch: list[Fixture], candidate: Mapping[str, str], capture_traces: bool = False) -> Any:
        """Scores of one text on some fixtures."""
        from gepa.core.adapter import EvaluationBatch

        known = self._candidate(candidate[COMPONENT])
        if known is None:
            scores = [self._unusable] * len(batch)
        else:
            scores = self._guard(lambda: [-loss for loss in self._study.losses_on([known], batch)[0]])
        return EvaluationBatch(
            outputs=list(batch),
            scores=scores,
            trajectories=[(f, s) for f, s in zip(batch, scores, strict=True)] if capture_traces else None,
        )

    def make_reflective_dataset(
        self, candidate: Mapping[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """What the reflecting model is shown: input, and how unlikely the right answer was."""
        records = []
        for fixture, score in eval_batch.trajectories or ():
            case = shown_case(fixture)
            feedback = (
                f"The right answer is: {case['answer']}\nIts loss is {-score:.3f} {self._study.unit}; lower is better."
            )
            records.append(
                {"Inputs": case["input"], "Generated Outputs": "(scored, not sampled)", "Feedback": feedback}
            )
        return dict.fromkeys(components_to_update, records)

    def reflect(self, prompt: str | list[dict[str, Any]]) -> str:
        """The study's writer behind the package's interface."""
        text = prompt if isinstance(prompt, str) else "\n".join(str(part.get("content", "")) for part in prompt)
        question = [(Turn("user", text),)]
        rows: list[tuple[Reply, ...]] = self._guard(lambda: self._study.ask_writer(question, 1))
        return rows[0][0].text

    def best(self) -> Candidate:
        """The text with the lowest mean selection loss among those that were taken that far."""
        study = self._study
        usable = [c for c in self._candidates.values() if c is not None and study.known_on(c, "selection")]
        means = study.means(usable, "selection")
        return min(zip(means, range(len(usable)), usable, strict=True))[2]

    def _candidate(self, text: str) -> Candidate | None:
        if text not in self._candidates:
            prompt = self.sheet.put(text.strip())
            known = None if prompt is None else self._study.known.get(prompt.template_digest)
            if prompt is not None and known is None:
                known = self._guard(lambda: self._study.admit(prompt, "gepa reflection", parent=self._study.incumbent))
            self._candidates[text] = known
        return self._candidates[text]

    def _guard(self, work: Callable[[], Any]) -> Any:
        """Keep an error of ours: the package catches what its adapter raises and would go on."""
        try:
            return work()
        except (PmpoError, KeyboardInterrupt) as error:
            self.error = error
            raise


class _Stepper:
    """Lets a loop in another thread go on for one iteration at a time."""

    def __init__(self, adapter: _Adapter) -> None:
        self._adapter = adapter
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._stop = False
        self._finished = False
        self._failure: BaseException | None = None

    def pause(self, gepa_state: Any) -> bool:
        """The package's stop callback: called before every iteration."""
        self._done.release()
        self._go.acquire()
        return self._stop or self._adapter.error is not None

    def iterations(self, work: Callable[[], None]) -> Iterator[None]:
        """Yields after every iteration; closing the iterator ends the loop."""
        thread = threading.Thread(target=self._run, args=(work,), name="gepa", daemon=True)
        thread.start()
        try:
            self._wait()  # the package has scored the incumbent and asks whether to begin
            while not self._finished:
                self._go.release()
                self._wait()
                if not self._finished:
                    yield
        finally:
            self._stop = True
            self._go.release()
            thread.join()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  handed to the waiting thread, which raises it
            self._failure = error
        self._finished = True
        self._done.release()

    def _wait(self) -> None:
        self._done.acquire()
        if self._adapter.error is not None:
            raise self._adapter.error
        if self._failure is not None:
            raise OptimizeError(f"the gepa package failed: {self._failure}") from self._failure
