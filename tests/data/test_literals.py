import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geolangbind.data.literals import parse_numbers
from geolangbind.errors import DataError

NUMBERS = st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)
NESTED = st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner), max_leaves=20)


def as_floats(value):
    return [as_floats(item) for item in value] if isinstance(value, list | tuple) else float(value)


def depth(value):
    return 1 + max(map(depth, value), default=0) if isinstance(value, list | tuple) else 0


@given(NESTED)
def test_what_python_writes_is_read_as_python_reads_it(value):
    if depth(value) > 4:
        with pytest.raises(DataError, match="at most 4 deep"):
            parse_numbers(repr(value).encode(), ".geoloc")
    else:
        assert parse_numbers(repr(value).encode(), ".geoloc") == as_floats(ast.literal_eval(repr(value)))


@given(st.binary(max_size=60) | st.text("0123456789+-.eE,[]() ", max_size=40).map(str.encode))
def test_anything_else_is_one_line(data):
    try:
        found = parse_numbers(data, ".wavelength")
    except DataError as error:
        assert str(error).startswith(".wavelength must be finite numbers") and "\n" not in str(error)
    else:
        assert found == as_floats(found)


@pytest.mark.parametrize(
    "text",
    ["__import__('os')", "[x for x in (1,)]", "True", "None", "'1'", "1j", "[1, 'a']", "{1: 2}", "...", "(1)(2)", "[1][0]", "1 + 1", "0x10",
     "1e999", "[nan]", "", "-" * 16_000 + "1", "[" * 16_000, "9" * 16_000, "1," * 9000],
)  # fmt: skip
def test_nothing_but_numbers_is_taken(text):
    with pytest.raises(DataError, match="which is not run"):
        parse_numbers(text.encode(), ".wavelength")
