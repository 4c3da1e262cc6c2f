"""Towers as ONNX graphs, so that searching needs no torch.

graphs.py         An encoder's folder that has its graphs: those of older encoders are added
torch_to_onnx.py  A torch module as an ONNX model, by torch's own exporter
towers.py         Both towers as ONNX graphs in the encoder's folder; never without a parity check
"""
