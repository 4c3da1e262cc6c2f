"""What was seen before: in the index, in training.

copies.py            Copies of training images: proposed by perceptual hashes, verified by pixels
indexed_texts.py     Look up query texts in the indexed texts: equal, normalised or contained
leakage.py           The leak checks: queries in the index, and in the encoder's training data
staleness.py         Check that an index matches the current corpus
training_overlap.py  Overlap of a pool with training: images, copies, captions, groups
"""
