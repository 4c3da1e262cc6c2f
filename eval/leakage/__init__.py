"""What was seen before: in the index, in training.

copies.py            Copies of training images: perceptual hashes propose, pixels decide
indexed_texts.py     Indexed texts to look queries up in: equal ones, and those containing them
leakage.py           Finds query text in the index, and what was asked for in training
staleness.py         Whether an index holds the corpus as it is now, or an older one
training_overlap.py  What of a pool the encoder has seen: images, copies, captions, groups
"""
