"""A package that is there already, read back.

application.py   What an application has to offer to queries, read from the package that was d
read_options.py  The options of a package that is there already, read back from its files
schema_file.py   Reads a schema file back: its fields and rank profiles as plain facts to comp
xml_file.py      Reads an XML file of a package: without entities, which could name other file
"""
