"""Good and bad bodies, for every operation that takes one."""

NOT_JSON: dict[str, bytes] = {
    "words": b"not json",
    "nothing": b"",
    "blanks": b"  \n",
    "single quotes": b"{'title': 'x'}",
    "a comment": b'{"title": "x"} // why',
    "two documents": b'{"title": "x"}{"title": "x"}',
    "a trailing comma": b'{"title": "x",}',
    "half of it": b'{"title": "x"',
    "NaN": b'{"title": "x", "completed": NaN}',
    "Infinity": b'{"title": "x", "completed": -Infinity}',
    "a bare NUL": b'{"title": "a\0b"}',
    "a bare newline in a string": b'{"title": "a\nb"}',
    "a byte order mark": b'\xef\xbb\xbf{"title": "x"}',
    "too deep": b"[" * 100_000,
    "too many digits": b'{"title": ' + b"9" * 5000 + b"}",
    "a lone high surrogate": rb'{"title": "a\ud800b"}',
    "a lone low surrogate": rb'{"title": "\udc00"}',
    "surrogates the wrong way round": rb'{"title": "\ude00\ud83d"}',
    "a lone surrogate in a key": rb'{"title": "x", "\ud800": 1}',
}
NOT_UTF8: dict[str, bytes] = {
    "Latin-1": b'{"title": "caf\xe9"}',
    "UTF-16": '{"title": "x"}'.encode("utf-16"),
    "an overlong form": b'{"title": "\xc0\x80"}',
    "a surrogate in UTF-8": b'{"title": "\xed\xa0\x80"}',
}
DUPLICATE_KEYS: dict[str, bytes] = {
    "the same": b'{"title": "x", "title": "x"}',
    "another value": b'{"title": "x", "completed": true, "completed": false}',
    "an escape": rb'{"title": "x", "\u0074itle": "y"}',
    "further down": b'{"title": {"a": 1, "a": 2}}',
}
MALFORMED = {
    **{f"not JSON: {name}": (body, "bad-json") for name, body in NOT_JSON.items()},
    **{f"not UTF-8: {name}": (body, "bad-encoding") for name, body in NOT_UTF8.items()},
    **{f"duplicate key: {name}": (body, "duplicate-key") for name, body in DUPLICATE_KEYS.items()},
}
# All operations read bodies by the same code: create tries all of the above, the others one of each kind.
ONE_OF_EACH = ["not JSON: NaN", "not UTF-8: Latin-1", "duplicate key: the same"]

# Each is laid over a good body; the faults lie at the pointers.
FAULTY: dict[str, tuple[dict[str, object], list[str]]] = {
    "a number for a title": ({"title": 5}, ["/title"]),
    "null for a title": ({"title": None}, ["/title"]),
    "a list for a title": ({"title": ["x"]}, ["/title"]),
    "true for a title": ({"title": True}, ["/title"]),
    "an empty title": ({"title": ""}, ["/title"]),
    "a blank title": ({"title": " \t\n\u00a0\u3000"}, ["/title"]),
    "a title of 256": ({"title": "x" * 256}, ["/title"]),
    "a title of 300": ({"title": "x" * 300}, ["/title"]),
    "a title of 256 emoji": ({"title": "\N{GRINNING FACE}" * 256}, ["/title"]),
    "a title that grows to 256 in NFC": ({"title": "\u0958" * 128}, ["/title"]),
    "NUL in a title": ({"title": "a\0b"}, ["/title"]),
    "a number for a description": ({"description": 5}, ["/description"]),
    "an object for a description": ({"description": {}}, ["/description"]),
    "a description of 8193": ({"description": "x" * 8193}, ["/description"]),
    "NUL in a description": ({"description": "\0"}, ["/description"]),
    "yes for completed": ({"completed": "yes"}, ["/completed"]),
    "true in quotes for completed": ({"completed": "true"}, ["/completed"]),
    "1 for completed": ({"completed": 1}, ["/completed"]),
    "0 for completed": ({"completed": 0}, ["/completed"]),
    "null for completed": ({"completed": None}, ["/completed"]),
    "a day that does not exist": ({"due": "2026-02-30"}, ["/due"]),
    "a due date with an offset": ({"due": "2026-12-24T17:00Z"}, ["/due"]),
    "an hour that does not exist": ({"due": "2026-12-24T25:00"}, ["/due"]),
    "an unknown time zone": ({"due": "2026-12-24T17:00", "time_zone": "Mars/Base"}, ["/time_zone"]),
    "a time zone without a time": ({"due": "2026-12-24", "time_zone": "UTC"}, ["/time_zone"]),
    "a priority of 10": ({"priority": 10}, ["/priority"]),
    "21 tags": ({"tags": [str(number) for number in range(21)]}, ["/tags"]),
    "a tag of 51 emoji": ({"tags": ["x", "\N{GRINNING FACE}" * 51]}, ["/tags/1"]),
    "a blank tag": ({"tags": ["\u200b"]}, ["/tags/0"]),
    "a title that shows nothing": ({"title": "\u200b\u3164"}, ["/title"]),
    "metadata of 2049 bytes": ({"metadata": {**dict.fromkeys("abcd", "x" * 500), "e": "x" * 44}}, ["/metadata"]),
    "a bad key of metadata": ({"metadata": {"a b/c": "x"}}, ["/metadata/a b~1c"]),
    "a number in metadata": ({"metadata": {"a": 1}}, ["/metadata/a"]),
    "an unknown field": ({"colour": "red"}, ["/colour"]),
    "another case": ({"Title": "x"}, ["/Title"]),
    "a field of the table": ({"by_creation": "0", "pk": "USER#x"}, ["/by_creation", "/pk"]),
    "a field to be escaped in a pointer": ({"a/b~c": 1}, ["/a~1b~0c"]),
    "a field without a name": ({"": 1}, ["/"]),
    "everything at once": (
        {"title": "", "description": 5, "completed": "yes", "x": 1, "y": None},
        ["/title", "/description", "/completed", "/x", "/y"],
    ),
}
NO_OBJECT: dict[str, bytes] = {
    "a list": b'[{"title": "x"}]',
    "a string": b'"title"',
    "a number": b"1e400",
    "null": b"null",
    "true": b"true",
}
READ_ONLY: dict[str, object] = {
    "id": "018f3a5c-0000-7000-8000-000000000000",
    "user_id": "someone-else",
    "completed_at": "2020-01-01T00:00:00.000Z",
    "created_at": None,
    "updated_at": "",
    "version": 99,
    "etag": '"99-1"',
    "deleted_at": "2020-01-01T00:00:00.000Z",
    "purge_at": None,
}

# What is sent, and what comes back where that is not the same.
TEXTS: dict[str, tuple[str, str]] = {
    name: (text[0], text[-1])
    for name, text in {
        "emoji": ("\N{GRINNING FACE}" * 255,),
        "a joined family": ("\U0001f468\u200d\U0001f469\u200d\U0001f467",),
        "a decomposed accent": ("Cafe\u0301", "Caf\u00e9"),
        "a decomposed title of 255": ("e\u0301" * 255, "\u00e9" * 255),
        "a singleton": ("\u212b", "\u00c5"),
        "a composition exclusion": ("\u0958", "\u0915\u093c"),
        "marks out of order": ("q\u0307\u0323", "q\u0323\u0307"),
        "Hangul": ("\u1112\u1161\u11ab", "\ud55c"),
        "what NFC leaves alone": ("\ufb01 \u00bd \uff21 \u2460",),
        "right to left": ("\u05e9\u05dc\u05d5\u05dd \u202eabc",),
        "quotes": ("\"\\/'`",),
        "JSON in it": ('{"title": null}',),
        "controls": ("a\x01\x1f\x7f\x9fb",),
        "lines": ("a\r\nb\u2028c\u2029d\x85e",),
        "blanks around": ("  a\t ",),
        "a zero width space": ("a\u200b",),
        "a byte order mark": ("\ufeffa",),
        "non-characters": ("\uffff\ufffe\U0010ffff",),
        "markup": ("<script>alert(1)</script>&amp;",),
        "SQL": ("'; DROP TABLE tasks;--",),
        "our own keys": ("USER#x TASK#y :pk #pk",),
        "percent signs": ("%00%s{0}${x}",),
        "a number": ("1e400",),
        "null": ("null",),
        "one letter": ("x",),
    }.items()
}
