from pathlib import Path

import work

# a comment
Path("data/photos").mkdir(parents=True)
work.main("data/photos/all", ["results/plan/prepare.yaml"])
