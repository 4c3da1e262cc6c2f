"""What was seen before: in the index, in training.

indexed_texts.py     Indexed texts to look queries up in: equal ones, and those that contain a
leakage.py           Finds query text in the index, and searched images in training
staleness.py         Whether an index holds the corpus as it is now, or an older one under the
training_overlap.py  Documents that stand in the training split, or have their like there: ima
"""
