"""What can be said of a prompt and its fixtures without a model: in seconds, and without torch.

Every function here is pure: suites in, findings out.
"""

from __future__ import annotations

from pytest_pmpo.prompts.lint.check import RULES, LintOptions, lint
from pytest_pmpo.prompts.lint.findings import Finding, Severity, line

__all__ = ["RULES", "Finding", "LintOptions", "Severity", "line", "lint"]
