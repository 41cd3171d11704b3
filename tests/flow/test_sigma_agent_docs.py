"""docs/wire/sigma-agent.md is true: its examples run against our agent."""
from conftest import until
from docs_examples import run_examples
from sigma_mock import SigmaMock
from test_sigma_agent import Agent, quiet_range


def test_every_example_of_the_page_runs(fleet, tmp):
    mock = SigmaMock()
    base = quiet_range(20)
    a = Agent(tmp, "h1", mock.url, "--port-scan", "--port-scan-range", f"{base}-{base + 19}", "--scan-method", "netlink")
    try:
        until(lambda: a.value("sigma_ports_total") == 20, what="a scan")
        assert run_examples("sigma-agent", fleet.server(), {"METRICS": a.url("")}) >= 3
    finally:
        code = a.proc.term()
        mock.close()
    assert code == 0 and not mock.faults
