"""YOLOS on COCO (Tables 5 and 6): a ViT finetuned with detection tokens appended to its patch tokens, nothing else added.

boxes.py → augment.py → yolos.py → loss.py → train.py → score.py, joined by run.py.
"""
