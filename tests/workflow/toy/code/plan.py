"""params.yaml in one file for each stage; a key that it does not know is an error."""

import sys
from pathlib import Path

import yaml

params = yaml.safe_load(Path("params.yaml").read_text())
if unknown := set(params) - {"prepare", "pretrain", "judge"}:
    sys.exit(f"params.yaml: {sorted(unknown)[0]} is unknown")
files = {"prepare": params["prepare"]}
files |= {f"{group}/{name}": values for group in ("pretrain", "judge") for name, values in params[group].items()}
for name, values in files.items():
    path = Path("results/plan", f"{name}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values))
