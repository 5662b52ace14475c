"""One file per format; each offers a ``Format`` (see ``base.py``) and is registered through ``hookspecs.py``."""
