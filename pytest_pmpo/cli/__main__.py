"""``python -m pytest_pmpo.cli``: the ``pmpo`` command where scripts are not on the path."""

from pytest_pmpo.cli import main

raise SystemExit(main())
