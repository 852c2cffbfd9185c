"""Values of params.yaml that are legal alone and impossible together.

contradictions.py    all of them
names.py             models and data sets that are not there; what is named twice
photos.py            data sets: masks that are missing, photos to learn from that judge as well
training.py          how a model is trained
weights.py           weights from elsewhere
judging.py           sizes and settings of the protocols
"""
