"""Conditions on fields of one's own as they reach Vespa's content nodes, by Vespa's own parser."""

from __future__ import annotations

import json

import pytest

from ranking.attributes import read_condition
from ranking.profiles.shipped import SHIPPED
from ranking.types import Attribute, Query, Sort
from vespa_app.package.options import PackageOptions
from vespa_app.package.package import write_application
from vespa_app.query.query import search_request
from vespa_app.read.application import read_application

OWN = (
    Attribute("age", "int"),
    Attribute("dose", "float"),
    Attribute("seen", "date"),
    Attribute("site", "keyword"),
    Attribute("portable", "bool"),
    Attribute("findings", "text"),
    # Words that a schema has a meaning for, and that a source may well use.
    *(Attribute(name, "int") for name in ("date", "type", "field", "weight", "sort", "document")),
)
CONDITIONS = {
    "age>=60": "age:[60;]",
    "age>60": "age:[61;]",
    "age<60": "age:[;59]",
    "age=40..60": "age:[40;60]",
    "age=-3": "age:-3",
    "dose>0.5": "dose:[0.5000000000000001;]",
    "dose=-1e-7..2.5": "dose:[-1.0E-7;2.5]",
    "seen>=2019-01-01": "seen:[1546300800;]",
    "seen<1970-01-01": "seen:[;-86400]",
    "site=St. Mary's (East)": "site:St. Mary's (East)",
    "portable=true": "portable:true",
    "findings=pleural effusions": 'findings:"pleural effusion"',
    "date>1": "date:[2;]",
    "weight=3": "weight:3",
}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    out = tmp_path_factory.mktemp("own") / "app"
    lengths = {"caption": 21.5, "affirmed": 20.5, "negated": 3.5, "findings": 9.0}
    options = PackageOptions(attributes=OWN)
    write_application(out, None, SHIPPED, None, lengths, options=options)
    return out


def test_a_package_with_own_fields_is_accepted_and_read_back(package, kit):
    (answer,) = kit.validate(package)
    assert (answer["ok"], answer["warnings"], answer["suspects"]) == (True, [], [])
    fields = answer["schemas"]["image"]["fields"]
    assert {name: fields[name]["type"] for name in ("age", "dose", "seen", "portable")} == {
        "age": "long",
        "dose": "double",
        "seen": "long",
        "portable": "bool",
    }
    assert {"has_age", "has_dose", "has_seen"} <= fields.keys()
    assert not {"has_site", "has_portable", "has_findings"} & fields.keys()
    assert set(read_application(package).attributes) == set(OWN)


def test_conditions_reach_the_content_nodes_as_meant(package, kit):
    application = read_application(package)
    asked = [
        Query("chest", profile="lexical", filters=(read_condition(text, exclude=exclude),))
        for text in CONDITIONS
        for exclude in (False, True)
    ]
    more = Query("chest", profile="lexical", sort=Sort("age"), facets=("age", "seen", "portable"))
    bodies = [search_request(query, application, hits=10).body for query in (*asked, more)]
    answers = kit("yql", package, lines=[json.dumps(body | {"timeout": "30s"}) for body in bodies])
    assert [answer for answer in answers if not answer["ok"]] == []
    shown = []
    for number, expected in enumerate(CONDITIONS.values()):
        wanted, barred = answers[2 * number]["query"], answers[2 * number + 1]["query"]
        shown.append((expected, wanted, barred))
    assert [each for each in shown if each[0] not in each[1]] == []
    assert [each for each in shown if f"-{each[0]}" not in each[2]] == []


def test_user_text_stays_outside_the_yql(package):
    application = read_application(package)
    value = 'x" or true; select'
    for field in ("site", "findings"):
        query = Query("chest", profile="lexical", filters=(read_condition(f"{field}={value}"),))
        body = search_request(query, application, hits=1).body
        assert "true" not in body["yql"].partition("where")[2]


def test_expansions_travel_as_terms_with_their_significance(package, kit):
    application = read_application(package)
    query = Query("ct", profile="lexical", expansions={"tomography": 0.5, "ct": 0.5, "rare": 1.0})
    significances = {("caption", "tomography"): 3.0, ("caption", "ct"): 1.0}
    body = search_request(query, application, hits=3, significances=significances).body
    assert "tomography" not in body["yql"]
    (answer,) = kit("yql", package, lines=[json.dumps(body | {"timeout": "30s"})])
    assert answer["ok"], answer
    assert "significance: 1.5" in answer["yql"]
    assert "caption:tomography" in answer["query"]
    assert "rare" not in answer["query"]  # no document has it
