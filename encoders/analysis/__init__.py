"""What an encoder learned: pictures, heat maps, classification.

caption_scores.py  How close generated captions come to those of people: BLEU, ROUGE-L, CIDEr
concept_labels.py  Multi-label classification of concepts: zero-shot, and with a linear probe
heatmap.py         Heat maps of a text in an image
pictures.py        Plots of an encoder: learning curves, similarities, neighbours, heat maps
zero_shot.py       Classification with a CLIP: zero-shot, few-shot, and with a linear probe
"""
