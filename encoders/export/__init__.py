"""Towers as ONNX graphs.

text_tower.py     The text tower as ONNX, so that Vespa embeds queries by itself; never withou
torch_to_onnx.py  A torch module as an ONNX file, by torch's own exporter
"""
