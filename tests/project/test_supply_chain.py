"""The bill of materials and the hashed pins are made of what is installed and pinned."""

import re
from importlib import metadata
from pathlib import Path

import supply_chain

ROOT = Path(__file__).resolve().parents[2]


def test_the_bill_names_every_distribution_with_version_and_licence() -> None:
    bill = supply_chain.bill_of(metadata.distributions())
    components = {component["name"].lower(): component for component in bill["components"]}
    assert components["torch"]["version"] == metadata.version("torch")
    assert components["numpy"]["purl"] == f"pkg:pypi/numpy@{metadata.version('numpy')}"
    for component in components.values():
        assert component["licenses"][0]["license"]["name"]


def test_pins_get_the_hashes_that_pip_reports() -> None:
    archive = {"archive_info": {"hashes": {"sha256": "ab12"}}}
    report = {
        "install": [
            {"metadata": {"name": "numpy", "version": "2.4.6"}, "download_info": archive},
            {"metadata": {"name": "polytask", "version": "0"}, "download_info": {"dir_info": {}}},
        ]
    }
    assert supply_chain.hashed(report) == "numpy==2.4.6 --hash=sha256:ab12\n"


def test_the_audit_reads_all_pins() -> None:
    text = (ROOT / "constraints.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(supply_chain.pins(text)) == len(lines)


def test_what_is_promised_names_what_there_is() -> None:
    promises = (ROOT / "SECURITY.md").read_text()
    for module in re.findall(r"`(polytask\.[\w.]+)`", promises):
        if module != "polytask.load":
            path = ROOT / "src" / Path(*module.split("."))
            assert path.with_suffix(".py").is_file(), module
