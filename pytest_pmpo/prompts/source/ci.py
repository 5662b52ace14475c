"""Which branch a pull request goes into, as the continuous-integration services say it in the environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """The target of the pull request a job runs for.

    Attributes:
        service: whose variables said so.
        branch: name of the target branch, without ``refs/heads/``.
        base: id of the merge base as the service computed it, where it tells.
        merged: the checked-out commit is the merge of the request into its target, so its first parent is the target.
    """

    service: str
    branch: str
    base: str | None = None
    merged: bool = False


Environ = Mapping[str, str]


def _branch(environ: Environ, name: str) -> str:
    return environ.get(name, "").removeprefix("refs/heads/")


def _github(environ: Environ) -> Target:
    ref = environ.get("GITHUB_REF", "")
    merged = ref.startswith("refs/pull/") and ref.endswith("/merge")
    return Target("GitHub", _branch(environ, "GITHUB_BASE_REF"), merged=merged)


def _gitlab(environ: Environ) -> Target:
    # the commit comes second: it was stale after a change of target until GitLab's merge request 205670
    base = environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA") or None
    return Target("GitLab", _branch(environ, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME"), base=base)


def _simple(service: str, name: str) -> Callable[[Environ], Target]:
    return lambda environ: Target(service, _branch(environ, name))


def _if(condition: str, value: str, then: Callable[[Environ], Target]) -> Callable[[Environ], Target]:
    return lambda environ: then(environ) if environ.get(condition) == value else Target("", "")


def _travis(environ: Environ) -> Target:
    request = environ.get("TRAVIS_PULL_REQUEST", "false") != "false"
    return Target("Travis CI", _branch(environ, "TRAVIS_BRANCH") if request else "")


def _appveyor(environ: Environ) -> Target:
    request = environ.get("APPVEYOR_PULL_REQUEST_NUMBER")
    return Target("AppVeyor", _branch(environ, "APPVEYOR_REPO_BRANCH") if request else "")


_SERVICES: tuple[Callable[[Environ], Target], ...] = (
    _github,  # also Gitea and Forgejo
    _gitlab,
    _simple("Bitbucket", "BITBUCKET_PR_DESTINATION_BRANCH"),
    _simple("Azure Pipelines", "SYSTEM_PULLREQUEST_TARGETBRANCH"),
    _simple("Buildkite", "BUILDKITE_PULL_REQUEST_BASE_BRANCH"),
    _simple("Jenkins", "CHANGE_TARGET"),
    _simple("Cirrus CI", "CIRRUS_BASE_BRANCH"),
    _simple("AWS CodeBuild", "CODEBUILD_WEBHOOK_BASE_REF"),
    _if("DRONE_BUILD_EVENT", "pull_request", _simple("Drone", "DRONE_TARGET_BRANCH")),
    _if("CI_PIPELINE_EVENT", "pull_request", _simple("Woodpecker", "CI_COMMIT_TARGET_BRANCH")),
    _travis,
    _appveyor,
)


def target(environ: Environ) -> Target | None:
    """The target of the pull request this job runs for, or None if it runs for none. CircleCI does not say."""
    return next((found for found in (service(environ) for service in _SERVICES) if found.branch), None)
