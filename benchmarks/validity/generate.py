"""Part one of the benchmark: sample, grade and score once, and keep the numbers.

For each task: greedy and sampled answers under every prompt (the truth); a bank of responses from the proposals; the
log-probability of each bank response, and of the gold answer, under every prompt. Text is written only to
``texts.jsonl.gz``; ``TASK.json.gz``, the record that is kept, holds grades and log-probabilities.

    python -m benchmarks.validity.generate --model DIR --out DIR [--tasks a,b] [--items 120] [--seconds 450]

A task is begun only if the last one's time still fits into ``--seconds``; finished tasks are on disk by then.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from benchmarks.validity import tasks, variants
from benchmarks.validity.decoder import Decoder
from benchmarks.validity.sampling import Answer, Clock, Request, Sampler, log_probabilities
from benchmarks.validity.score import Labels, distinct, score, score_rest

PROPOSALS = ("direct0", "steps0", "json0", "rules0", variants.NONE)
BANK = "bank:"  # keys of the bank's own samples, apart from those that make the truth


class Run:
    """One model on one device, and the options of the run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.tokenizer = AutoTokenizer.from_pretrained(options.model)
        dtype = getattr(torch, options.dtype)
        self.decoder = Decoder(Path(options.model), options.device, dtype)
        self.end = self.tokenizer.eos_token_id
        self.clock = Clock(options.device)

    def context(self, system: str | None, question: str) -> list[int]:
        """Ids of the conversation up to where the answer begins."""
        turns = [{"role": "system", "content": system}] if system is not None else []
        turns.append({"role": "user", "content": question})
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def task(self, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The record of one task, and its texts."""
        o, begin = self.options, dict(self.clock.seconds)
        task = tasks.load(name, Path(o.data), o.items, o.limit)
        prompts = {k: v for k, v in variants.prompts(task.form).items() if not o.prompts or k in o.prompts.split(",")}
        contexts = {p: [self.context(text, item.question) for item in task.items] for p, text in prompts.items()}
        proposals = [p for p in PROPOSALS if p in prompts]
        answers, counts = self.sample(task, contexts, proposals)
        record: dict[str, Any] = {"task": name, "limit": task.limit, "items": len(task.items), "prompts": list(prompts)}
        texts: list[dict[str, Any]] = []
        record |= self.truth(task, answers, texts)
        bank = self.bank(task, answers, proposals, texts)
        top_ups = (
            {f: self.bank(task, answers, own, []) for f, own in _own(prompts, proposals).items()} if o.top_up else {}
        )
        counts["scored per prompt"] = sum(len(ids) for _, ids in distinct(bank))
        counts["context per prompt"] = sum(map(len, next(iter(contexts.values()))))
        record |= score(self.decoder, self.clock, o.batch, contexts, bank)
        labels = Labels.of(task, self.ids, self.end)
        record |= score_rest(self.decoder, self.clock, o.batch, contexts, labels, top_ups, proposals)
        record["tokens"] = counts
        record["seconds"] = {k: round(v - begin.get(k, 0.0), 3) for k, v in self.clock.seconds.items()}
        return record, texts

    def sample(
        self, task: tasks.Task, contexts: dict[str, list[list[int]]], proposals: Sequence[str]
    ) -> tuple[dict[tuple[str, int], list[Answer]], dict[str, int]]:
        """All answers, by prompt (or bank proposal) and item; truth and bank are drawn in one go."""
        o, since = self.options, time.monotonic()
        requests = [
            Request((p, i), tokens, o.truth, greedy=True)
            for p, rows in contexts.items()
            for i, tokens in enumerate(rows)
        ]
        for p, rows in contexts.items():
            count = o.bank if p in proposals else o.top_up
            requests += [Request((BANK + p, i), tokens, count) for i, tokens in enumerate(rows) if count]
        length = max(len(tokens) for rows in contexts.values() for tokens in rows) + task.limit + 16
        sampler = Sampler(self.decoder, self.end, slots=o.slots, length=length, limit=task.limit, seed=o.seed)
        answers: dict[tuple[str, int], list[Answer]] = defaultdict(list)
        counts: Counter[str] = Counter()
        for answer in sampler.run(requests):
            answers[answer.key].append(answer)
            kind = "bank" if answer.key[0].startswith(BANK) else "greedy" if answer.greedy else "sampled"
            counts[f"decoded {kind}"] += len(answer.tokens) + 1
            counts[f"answers {kind}"] += 1
        counts["prefilled"] = sampler.prefilled
        self.clock.add("sample", since)
        return answers, dict(counts)

    def truth(
        self, task: tasks.Task, answers: dict[tuple[str, int], list[Answer]], texts: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Per prompt and item: the grade of the greedy answer, and those of the sampled ones as a string of digits."""
        since = time.monotonic()
        greedy: dict[str, list[int]] = defaultdict(lambda: [0] * len(task.items))
        sampled: dict[str, list[str]] = defaultdict(lambda: [""] * len(task.items))
        length: dict[str, float] = defaultdict(float)
        for (prompt, item), rows in answers.items():
            if prompt.startswith(BANK):
                continue
            for answer in rows:
                text = self.tokenizer.decode(answer.tokens, skip_special_tokens=True)
                grade = task.grade(item, text)
                if answer.greedy:
                    greedy[prompt][item] = grade
                else:
                    sampled[prompt][item] += str(grade)
                length[prompt] += len(answer.tokens) / (len(rows) * len(task.items))
                if answer.greedy:
                    texts.append({"task": task.name, "prompt": prompt, "item": item, "grade": grade, "text": text})
        self.clock.add("grade", since)
        return {"greedy": greedy, "sampled": sampled, "samples": self.options.truth, "length": length}

    def bank(
        self,
        task: tasks.Task,
        answers: dict[tuple[str, int], list[Answer]],
        proposals: Sequence[str],
        texts: list[dict[str, Any]],
    ) -> list[dict[str, Any]]:
        """The bank's responses, as text a scorer would read: tokenized anew, without leading white space."""
        since, rows = time.monotonic(), []
        ids: dict[tuple[int, str, bool], int] = {}
        for item in range(len(task.items)):
            for proposal in proposals:
                for answer in answers[BANK + proposal, item]:
                    text = self.tokenizer.decode(answer.tokens, skip_special_tokens=True).lstrip()
                    if not text:
                        continue
                    known = len(ids)
                    text_id = ids.setdefault((item, text, answer.finished), known)
                    grade = task.grade(item, text)
                    tokens = self.ids(text) + [self.end] * answer.finished
                    rows.append(
                        {"item": item, "proposal": proposal, "grade": grade, "tokens": len(tokens), "ids": tokens}
                        | {"finished": int(answer.finished), "text_id": text_id}
                    )
                    if text_id == known:
                        texts.append({"task": task.name, "bank": text_id, "item": item, "grade": grade, "text": text})
        self.clock.add("grade", since)
        return rows

    def ids(self, text: str) -> list[int]:
        """Token ids of an answer."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def _own(prompts: Iterable[str], proposals: Sequence[str]) -> dict[str, list[str]]:
    """By family, the prompts that are no proposals."""
    own: dict[str, list[str]] = defaultdict(list)
    for prompt in prompts:
        if prompt not in proposals:
            own[variants.family(prompt)].append(prompt)
    return own


def check(run: Run) -> float:
    """Largest difference of log-probabilities from `transformers` on a few texts, nats per token."""
    from transformers import AutoModelForCausalLM

    model = (
        AutoModelForCausalLM.from_pretrained(run.options.model, dtype=run.decoder.dtype).to(run.decoder.device).eval()
    )
    contexts = [run.context(system, "What is 17 + 25?") for system in ("Be brief.", None, "Think step by step, aloud.")]
    texts = [
        (i, run.tokenizer(t)["input_ids"]) for i in range(3) for t in ("42", "17 + 25 is 42, so the answer is 42.")
    ]
    ours = log_probabilities(run.decoder, contexts, texts, 4096)
    worst = 0.0
    for (context, ids), value in zip(texts, ours, strict=True):
        tokens = torch.tensor([contexts[context] + list(ids)], device=run.decoder.device)
        with torch.inference_mode():
            logits = model(tokens).logits[0, len(contexts[context]) - 1 : -1].float()
        theirs = logits.log_softmax(-1).gather(1, tokens[0, len(contexts[context]) :, None]).sum().item()
        worst = max(worst, abs(theirs - value) / len(ids))
    return worst


def parse() -> argparse.Namespace:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--model", required=True, help="directory with config.json, tokenizer and safetensors")
    p.add_argument("--data", default="../shared/data")
    p.add_argument("--out", required=True)
    p.add_argument("--tasks", default="object_counting,sports_understanding,reasoning_about_colored_objects")
    p.add_argument("--prompts", default="", help="names to keep, for a small run")
    p.add_argument("--limit", type=int, help="longest answer in tokens; default the task's own")
    p.add_argument("--items", type=int, default=120)
    p.add_argument("--truth", type=int, default=8, help="samples per prompt and item that make the sampled truth")
    p.add_argument("--bank", type=int, default=4, help="bank responses per proposal and item")
    p.add_argument("--top-up", type=int, default=1, help="own responses per item of each prompt that is no proposal")
    p.add_argument("--slots", type=int, default=2048, help="answers written at once")
    p.add_argument("--batch", type=int, default=49152, help="padded tokens per scoring pass")
    p.add_argument("--seconds", type=float, default=450.0)
    p.add_argument("--device", default="cuda")
    p.add_argument("--dtype", default="bfloat16")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--check", action="store_true", help="compare with transformers first")
    return p.parse_args()


def main() -> None:
    """Every task that fits into the time."""
    options = parse()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    run = Run(options)
    if options.check:
        print(f"largest difference from transformers: {check(run):.4f} nats per token", flush=True)
    names, longest = options.tasks.split(","), 0.0
    for name in names:
        begin = run.clock.elapsed()
        if begin + longest > options.seconds:
            print(f"no time left for {name}", flush=True)
            continue
        record, texts = run.task(name)
        longest = max(longest, run.clock.elapsed() - begin)
        record["model"] = {"directory": Path(options.model).name, "dtype": options.dtype, "torch": torch.__version__}
        record["device"] = torch.cuda.get_device_name() if options.device.startswith("cuda") else "cpu"
        with gzip.open(out / f"{name}.json.gz", "wt", encoding="utf-8") as file:
            json.dump(record, file, separators=(",", ":"))
        with gzip.open(out / "texts.jsonl.gz", "at", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in texts)
        print(f"{name}: {run.clock.elapsed() - begin:.0f} s, {record['seconds']}, {record['tokens']}", flush=True)


if __name__ == "__main__":
    main()
