"""The application package: written, compared, planned.

cells.py           A vector as its field's cells hold it
evolve.py          What deploying a package over a running one needs, in words
options.py         What can be chosen of an application package, and what Vespa would take but
package.py         The application package: encoders and profiles in, a folder that `vespa dep
plan.py            Machines for a corpus of any size: memory, disk, nodes and hours of feeding
query_profiles.py  Query profiles: defaults for every query, and one for each rank profile
rank_profiles.py   Rank profiles of `ranking` as rank profiles of a Vespa schema
schema.py          The schema `image`: one document for each image, one vector field for each
services.py        services.xml and hosts.xml: one machine, or many in groups with redundancy
"""
