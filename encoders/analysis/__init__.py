"""What an encoder learned: pictures, heat maps, classification.

heatmap.py    Where in an image lies what a text describes
pictures.py   Pictures of an encoder: its curves, similarities, neighbours and heat maps, as f
zero_shot.py  Classification with a CLIP: by prompts alone, from a few examples, and with a li
"""
