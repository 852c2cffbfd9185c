"""Values of params.yaml that are legal alone but impossible together.

contradictions.py    runs all checks
names.py             models and data sets that do not exist; what is named twice
photos.py            data sets: missing masks, photos used for both training and evaluation
training.py          how a model is trained
weights.py           weights from elsewhere
judging.py           sizes and settings of the protocols
"""
