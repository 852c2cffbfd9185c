"""Third-party data sets, one file per set: what it consists of, in the layout in which it is published.

voc.py            pascal_context.py              on VOC's photos
coco.py           coco_stuff.py                  on COCO's photos
ade20k.py         imagenet.py     folder.py      others, and any tree of images
listing.py        archive.py                     types: what a set lists, and an archive to get it from
instances.py                                     COCO's JSON, read and checked

Each set defines PUBLISHED, the images per split in the paper ({} if the paper does not use the set); PLACE, where its root
is; `archives`, those that the set consists of, given its settings and what already lies in the folder; and `listing`, its
files, given its name, settings and root.
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
