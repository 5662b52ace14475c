"""Where the bytes of a version come from: the working tree, or a commit of the git repository it is in.

The only place of this stage that speaks to git, through its commands, and only to read: no hook, filter or
file system monitor of the repository runs, nothing is fetched, no lock is taken, and what git is asked for is a checked
name or an object id, never an option.
"""

from pytest_pmpo.prompts.source.base import Base, NoBase, find_base, resolve_base
from pytest_pmpo.prompts.source.changes import changed_doors, changed_paths
from pytest_pmpo.prompts.source.files import ListedTree, Source, WorkingTree, find_root
from pytest_pmpo.prompts.source.tree import GitTree

__all__ = [
    "Base",
    "GitTree",
    "ListedTree",
    "NoBase",
    "Source",
    "WorkingTree",
    "changed_doors",
    "changed_paths",
    "find_base",
    "find_root",
    "resolve_base",
]
