"""The schema of params.yaml: typed, bounded, unknown keys refused, every mistake reported at once.

`load()` is the only way in. The groups follow the effect of a change: `data` (photos), `pretrain` (what every pretrained
model shares), `models` (the rows of the tables: overlays of `pretrain`, or weights from elsewhere), `evaluate` (the
protocols), `report`, and `compute`, which must not change any result. Values and their sources stand in params.yaml.

    data.py      pretrain.py   evaluate.py   a group each, and what it may hold
    schema.py                                all of the file
    checks/                                  values that are legal alone and impossible together
    loading.py                               read, check, or say what is wrong
    yaml_lines.py                            YAML with the line of each key
    errors.py                                a mistake as a sentence: where it is, what could stand there
    types.py                                 numbers with bounds, names, groups
"""

from cribo.params.data import Folder, Photos, Published, Scenes, Voc
from cribo.params.errors import ParamsError
from cribo.params.loading import complete_data, load, parse
from cribo.params.pretrain import Pretrain, is_mae, needs_bank, needs_masks, needs_objects
from cribo.params.schema import Compute, Imported, Params, Trained, as_tuples
from cribo.params.types import merged

__all__ = [
    "Compute",
    "Folder",
    "Imported",
    "Params",
    "ParamsError",
    "Photos",
    "Pretrain",
    "Published",
    "Scenes",
    "Trained",
    "Voc",
    "as_tuples",
    "complete_data",
    "is_mae",
    "load",
    "merged",
    "needs_bank",
    "needs_masks",
    "needs_objects",
    "parse",
]
