"""Towers as ONNX graphs, so that searching needs no torch.

graphs.py         Add missing ONNX graphs to an encoder folder
torch_to_onnx.py  Export a torch module to ONNX
towers.py         Export both towers to ONNX, with a parity check
"""
