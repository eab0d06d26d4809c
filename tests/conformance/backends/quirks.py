"""What real servers get wrong: cases of the suite that they cannot pass, and why (design.md, idea 1).

Each row is proven against the server itself, in `test_quirks.py`, by a client that is not ours. What a row excludes
runs against our own frontend over `local` instead, as every case does.
"""

SEAWEEDFS: dict[str, str] = {}
"""By the end of a test's id: `test_keys.py::test_…[case]`, without the subject's name."""
