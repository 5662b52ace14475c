"""The child process of ``function.py``: reads requests as JSON lines, answers as JSON lines. Imports nothing of ours.

What the user's function prints goes to standard error, for standard output carries the answers.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback


def main(root: str, name: str) -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # the folder of this file holds graders named like other people's modules
    sys.path[0] = root
    module, _, attribute = name.partition(":")
    function, problem = None, ""
    try:
        function = getattr(importlib.import_module(module), attribute)
    except BaseException:  # noqa: BLE001 - whatever the user's module raises is reported to the parent
        problem = _last_line()
    for line in sys.stdin:
        answer = {"error": f"cannot be imported: {problem}"} if function is None else _call(function, line)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _call(function: object, line: str) -> dict[str, object]:
    request = json.loads(line)
    try:
        result = function(request["response"], request["expected"], request["vars"])  # type: ignore[operator]  # the user's
    except Exception:  # noqa: BLE001 - whatever the user's function raises is reported to the parent
        return {"error": f"raised {_last_line()}"}
    score, reason = result if isinstance(result, tuple) and len(result) == 2 else (result, "")
    if not isinstance(score, (bool, int, float)):
        return {"error": f"returned {result!r:.80}; a grade is a bool or a number between 0 and 1"}
    return {"score": float(score), "reason": str(reason)}


def _last_line() -> str:
    return "".join(traceback.format_exception_only(*sys.exc_info()[:2])).strip()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
