"""The application package: what is written, and what it will need.

names.py           Names shared by the files, readers and clients of a package
options.py         Options of an application package, and refusal of values that Vespa mishandles
package.py         Write the application package of encoders and profiles
plan.py            Estimate machines: memory, disk, nodes and hours of feeding
query_profiles.py  Query profiles: defaults for every query, and one for each rank profile
rank_profiles.py   Write rank profiles into a Vespa schema
schema.py          Write the schema `image`: one document per image, one vector field per encoder
services.py        Write services.xml and hosts.xml for one or many machines
"""
