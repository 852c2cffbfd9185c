"""Data sets that somebody else made, a file each: what it lists, in the layout in which it is published.

voc.py            pascal_context.py              on VOC's photos
coco.py           coco_stuff.py                  on COCO's
ade20k.py         imagenet.py     folder.py      and any tree of images
listing.py        archive.py                     what each says of itself, and of where to get it
instances.py                                     COCO's JSON, read with suspicion

A file has PUBLISHED, images a split in the paper, {} where the paper uses no such set; PLACE; `archives`, those that the set
consists of by its settings and by what already lies in the folder; `listing`, its files by its name, settings and root.
"""

from types import ModuleType

from cribo.data.preparation.sets import ade20k, coco, coco_stuff, folder, imagenet, pascal_context, voc

SETS: dict[str, ModuleType] = {
    "voc": voc,
    "pascal_context": pascal_context,
    "ade20k": ade20k,
    "coco": coco,
    "coco_stuff": coco_stuff,
    "imagenet": imagenet,
    "folder": folder,
}
