"""The shorthand [NAME=]COLUMN[:KIND[:YES]]."""

import pytest

from polytask.config import TaskConfig, parse_task
from polytask.errors import UserError
from polytask.kinds import Binary, Regression


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("click", TaskConfig(name="click", column="click")),
        (
            "income:binary:50000+",
            TaskConfig(name="income", column="income", kind=Binary(positive="50000+")),
        ),
        (
            "never=marital_status:binary:Never married",
            TaskConfig(
                name="never", column="marital_status", kind=Binary(positive="Never married")
            ),
        ),
        ("a=b:binary:x:y=z", TaskConfig(name="a", column="b", kind=Binary(positive="x:y=z"))),
        (
            "adult=age:binary:>=18",
            TaskConfig(name="adult", column="age", kind=Binary(positive=">=18")),
        ),
        ("weeks:regression", TaskConfig(name="weeks", column="weeks", kind=Regression())),
        ("odd:name=x", TaskConfig(name="odd:name=x", column="odd:name=x")),
    ],
)
def test_it_is_split_at_the_first_signs(text: str, expected: TaskConfig) -> None:
    assert parse_task(text, ["click", "odd:name=x"]) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:binry", "unknown kind 'binry' - did you mean 'binary'"),
        ("a:", "unknown kind ''"),
        ("=a", "has no name"),
        ("a=", "has no column"),
        ("a:regression:3", "only a binary task takes a YES"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_task(text, [])
