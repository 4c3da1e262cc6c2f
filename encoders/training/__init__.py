"""Training a CLIP on image-caption pairs.

augment.py           Image augmentation, a batch at a time
augment_text.py      Text augmentation: other words for the same image, drawn anew at each ste
batches.py           Which pairs each step sees, and as what tensors; all of it follows from s
checkpoint.py        The state of a training run in one file, written whole: a kill at any mom
choice.py            Which preset training takes where none is named, and why
concepts.py          Concepts as extra supervision: labels for the image tower, and a balanced
curves.py            training.csv: one row every few steps, and one at the end of each epoch
distributed.py       Several processes that train one encoder, a GPU each, as `accelerate laun
frozen.py            What frozen towers give for images and texts, computed once and kept
loop.py              One training run: the loop, its checkpoints and its validation
loss.py              Symmetric InfoNCE that knows of several positives, and SigLIP's loss
objectives.py        What a step minimises: the contrastive loss, in one go or gradient-cached
optimizer.py         AdamW as CLIP uses it, which parts of an encoder it moves, and how fast
pairs.py             Pairs in memory: images decoded once, small enough to be kept, beside the
pretraining.py       One tower learns before both do: the image tower from images, the text towe
presets.py           Named recipes: which towers, and how they are trained
record.py            What a finished training run leaves beside its encoder: its settings and
similar_captions.py  Batches in which captions resemble each other, so that the towers must te
train.py             Training a CLIP: one readable loop, on a CPU or on GPUs, that survives be
validation.py        How well texts find their images among held-out pairs: MRR@10 over the fu
seen.py              What an encoder was trained and validated on, as hashes: `seen.parquet` besid
"""
