"""Data sets that somebody else made: what each lists, in the layout in which it is published."""

from cribo.data.preparation.sets import ade20k, coco, folder, imagenet, pascal_context, voc

LISTINGS = {
    "voc": voc.listing,
    "pascal_context": pascal_context.listing,
    "ade20k": ade20k.listing,
    "coco": coco.listing,
    "coco_stuff": coco.listing_stuff,
    "imagenet": imagenet.listing,
    "folder": folder.listing,
}
