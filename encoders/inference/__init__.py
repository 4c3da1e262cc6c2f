"""A finished encoder at work: ONNX Runtime, tokenizers, Pillow and numpy, without torch.

dual_encoder.py  The interface of an encoder for search, embedding and evaluation
graph.py         The ONNX file of one tower: hash check and session
onnx_encoder.py  An encoder folder as a dual encoder on ONNX Runtime
reranker.py      A trained re-ranker on ONNX Runtime: how well a text and an image match
"""
