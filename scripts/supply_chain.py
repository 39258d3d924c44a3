"""What is installed with polytask: a bill of materials, and pins with the hashes of their files.

python scripts/supply_chain.py bill             CycloneDX 1.5 of this environment, as JSON
python scripts/supply_chain.py hashes           constraints.txt with a hash a line, for this platform
"""

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[\w.]+)$", re.MULTILINE)


def pins(text: str) -> dict[str, str]:
    """Version by name.

    >>> pins("# a comment\\nnumpy==2.4.6")
    {'numpy': '2.4.6'}
    """
    return {found["name"]: found["version"] for found in _PIN.finditer(text)}


def bill_of(distributions: Iterable[metadata.Distribution]) -> dict[str, object]:
    """A component for each distribution, by name: its version, licence and package URL."""
    found = {each.metadata["Name"]: each for each in distributions}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "components": [_component(name, found[name]) for name in sorted(found, key=str.lower)],
    }


def _component(name: str, distribution: metadata.Distribution) -> dict[str, object]:
    fields = distribution.metadata
    licence = next((fields[key] for key in ("License-Expression", "License") if key in fields), "")
    # Some put the whole text there.
    words = licence.partition("\n")[0] or "not declared"
    return {
        "type": "library",
        "name": name,
        "version": distribution.version,
        "licenses": [{"license": {"name": words}}],
        "purl": f"pkg:pypi/{name.lower().replace('_', '-')}@{distribution.version}",
    }


def hashed(report: Mapping[str, object]) -> str:
    """Lines for `pip install --require-hashes` out of pip's report of what it would install."""
    items = report["install"]
    assert isinstance(items, list)
    lines = []
    for item in items:
        fields, archive = item["metadata"], item["download_info"].get("archive_info")
        if archive is None:
            continue  # polytask itself, from this folder.
        digest = archive["hashes"]["sha256"]
        lines.append(f"{fields['name']}=={fields['version']} --hash=sha256:{digest}")
    return "\n".join(sorted(lines, key=str.lower)) + "\n"


def _report() -> Mapping[str, object]:
    """What pip would install into an empty environment, with what builds polytask there; nothing is kept."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--report", "-", "--constraint", str(ROOT / "constraints.txt"), f"{ROOT}[dev]"]
    command += tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    report: Mapping[str, object] = json.loads(done.stdout)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("what", choices=("bill", "hashes"))
    if parser.parse_args().what == "bill":
        print(json.dumps(bill_of(metadata.distributions()), indent=1))
    else:
        print(hashed(_report()), end="")


if __name__ == "__main__":
    main()
