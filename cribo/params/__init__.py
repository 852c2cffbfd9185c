"""The schema of params.yaml: typed and bounded values, no unknown keys, every mistake reported at once.

`load()` is the only way in. Parameters are grouped by what a change affects: `data` (photos), `pretrain` (what every
pretrained model shares), `models` (the rows of the tables: overlays of `pretrain`, or weights from elsewhere), `evaluate`
(the protocols), `report`, and `compute`, which must not change any result. params.yaml gives the values and their sources.

    data.py      pretrain.py   evaluate.py   one group each, and what it may hold
    schema.py                                the whole file
    checks/                                  values that are legal alone but impossible together
    loading.py                               reads and checks the file, or says what is wrong
    yaml_lines.py                            YAML with the line of each key
    errors.py                                a mistake as a sentence: where it is, what is allowed there
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
