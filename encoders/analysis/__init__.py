"""What an encoder learned: pictures, heat maps, classification.

concept_labels.py  Several concepts for each image, by prompts and with a linear probe
heatmap.py         Where in an image lies what a text describes
pictures.py        Pictures of curves, similarities, neighbours and heat maps
zero_shot.py       One class for each image: by prompts, from a few examples, with a probe
"""
