"""`polytask doctor` says which kernels run."""

from forked import Forked
from polytask import kernels


def test_it_says_which_kernels_run(forked: Forked) -> None:
    ended = forked.run("doctor")
    assert ended.code == 0
    assert kernels.state() in ended.out
    assert "float32 products by" in ended.out
    assert "bfloat16 products" in ended.out
