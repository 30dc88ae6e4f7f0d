"""Every private interface of another package that the library leans on: a file a package, a small function each.

Nothing is promised about them, so a new version may break them; `tests.test_compat` says which one broke, and what it
is for. No file here imports the package that it is about before it is called.
"""
