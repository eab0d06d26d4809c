"""What real servers get wrong: cases of the suite that they cannot pass, and why (design.md, idea 1).

By server, then by case: a test's name and parameters, without the subject's. Each reason is proven against the server
itself, by a client that is not ours, in `test_quirks.py`. What a row excludes runs against our own frontend over
`local` instead, as every case does.
"""

SEAWEEDFS: dict[str, str] = {}

QUIRKS = {"seaweedfs": SEAWEEDFS}
