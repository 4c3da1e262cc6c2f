"""A finished encoder at work: ONNX Runtime, tokenizers, Pillow and numpy, without torch.

dual_encoder.py  What search, embedding and evaluation need of an encoder
graph.py         One tower's ONNX file: its hash checked, its session opened at first use
onnx_encoder.py  An encoder's folder as a dual encoder on ONNX Runtime
"""
