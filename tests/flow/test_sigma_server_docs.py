"""docs/wire/sigma.md is true: its examples run."""
from docs_examples import run_examples


def test_every_example_of_the_page_runs(fleet):
    assert run_examples("sigma", fleet.server()) >= 8
