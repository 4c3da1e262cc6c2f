"""A package that is there already, read back.

application.py   What an application has to offer to queries, read from its package
blocks.py        The text of a schema as blocks
read_options.py  The options of a package, read back from its files
schema_file.py   Fields, rank profiles and summaries of a schema as plain facts to compare
xml_file.py      An XML file of a package, without entities
"""
