"""The application package: what is written, and what it will need.

cells.py           A vector as its field's cells hold it
names.py           Names that a package's files, its readers and its clients share
options.py         What can be chosen of a package, and what Vespa would take but get wrong
package.py         Encoders and profiles in, a folder that `vespa deploy` takes out
plan.py            Machines for a corpus of any size: memory, disk, nodes, hours of feeding
query_profiles.py  Defaults for every query, and a query profile for each rank profile
rank_profiles.py   Rank profiles of `ranking` as rank profiles of a Vespa schema
schema.py          The schema `image`: one document an image, one vector field an encoder
services.py        services.xml and hosts.xml: one machine, or many in groups with redundancy
"""
