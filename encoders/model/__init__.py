"""What an encoder is: towers, tokenizer, manifest, and the folder that holds them.

architecture.py          What an encoder is made of: the towers' configurations, and the tower
bert.py                  A BERT as text tower: a published sentence encoder beside our own tra
clip.py                  An encoder and its folder
efficientnet.py          EfficientNet-Lite as image tower, batch normalisation folded
manifest.py              The encoder's manifest: everything that decides what vector an input
module.py                Both towers as one torch module, with tokenizer and learned temperatu
resnet.py                Convolutional image towers: a small ResNet, and CLIP's modified one w
sentence_transformer.py  An encoder as a sentence-transformers model: both towers are its one
tokenizer.py             A tokenizer of the corpus' own words: byte-level BPE, lower-cased
towers.py                The transformers of a CLIP, for texts and for images, up to the proje
"""
