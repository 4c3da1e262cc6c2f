"""A package that is there already, read back.

application.py   Read vector fields and profiles of an application from its package
blocks.py        Parse the text of a schema into nested blocks
read_options.py  Read the options back from an existing package
schema_file.py   Read fields and rank profiles back from a schema file
xml_file.py      Read an XML file of a package safely, without entities
"""
