"""Encoders that others published, read into our towers.

bert.py   A published BERT as text tower: a Hugging Face or sentence-transformers folder
clip.py   Published CLIP weights in our towers: a Hugging Face `CLIPModel` folder, as it was d
files.py  Reading what others published: their JSON, and their weights as safetensors and noth
"""
