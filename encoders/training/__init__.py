"""Training a CLIP on image-caption pairs.

augment.py          Image augmentation in batches
augment_text.py     Text augmentation, drawn again for each step
batches.py          The batches of each step, determined by seed and step number
captioning.py       Training of a caption decoder on the cells of a frozen image tower, resumable
checkpoint.py       The state of a training run in one file, written atomically
concepts.py         Concepts as extra supervision: labels for pretraining, and balanced sampling
contrastive.py      Contrastive training of both towers, after concept pretraining if asked for
cross_encoder.py    The network of a re-ranker: tokens of a text attend to patches of an image
curves.py           training.csv: the learning curves
default_preset.py   The default preset, and the reason for it
distributed.py      Training in several processes, one per GPU, started by `accelerate launch`
epochs.py           The loop that all trainings share: checkpoints, validation, the best epoch
frozen.py           Cached features of frozen towers, on disk by content
loss.py             InfoNCE with several positives, of vectors or of parts, and SigLIP's loss
objectives.py       The objective of a step: contrastive loss, gradient caching, concept labels
optimizer.py        AdamW as in CLIP, with learning rates and freezing by part
pairs.py            Training pairs in memory: decoded images with texts and labels
presets.py          Named recipes: towers and training settings
pretraining.py      Pretraining of one tower alone: images (SimCLR), or parts of captions
reranking.py        Train a re-ranker on what an encoder gives, and export it
seen_pairs.py       seen.parquet: hashes of all pairs that an encoder was trained and validated on
train.py            Train a CLIP: the entry point, resumable, on CPUs or GPUs
training_record.py  training.json: settings and results of a finished run
validation.py       Validation: MRR@10 of text to image over all held-out pairs
"""
