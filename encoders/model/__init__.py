"""What an encoder is: towers, tokenizer, manifest, and the folder that holds them.

architecture.py          Configurations of the towers, and the towers built from them
bert.py                  BERT as a text tower
clip.py                  The encoder as a torch module with its folder: load and save
decoder.py               A caption decoder: a causal transformer that reads an image tower's cells
efficientnet.py          EfficientNet-Lite as an image tower
manifest.py              encoder.json: the manifest with everything that determines a vector
module.py                Both towers as one torch module, with tokenizer and learned temperature
resnet.py                ResNet image towers: a small one, and CLIP's with attention pooling
sentence_transformer.py  An encoder as a sentence-transformers model
tokenizer.py             Byte-level BPE tokenizer, lower-cased, trained on the captions
towers.py                CLIP's transformers for texts and images, up to the projection
"""
