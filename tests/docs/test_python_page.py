"""docs/python.md and docs/notebook.ipynb do what they say."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from encoders.base.progress import in_notebook, silent
from eval.collection.runs import EvaluationError
from eval.evaluate import Options
from eval.report.evaluation import Evaluation
from ingest.corpus.corpus import Corpus
from ranking.engine.engine import EmbeddedEngine
from ranking.profiles.shipped import SHIPPED, save_profiles
from ranking.text.synonyms import read_synonyms
from rocosearch import pipeline
from rocosearch.pipeline import build_corpus, build_index, open_searcher
from tests.docs.test_pages import ROOT, blocks
from vespa_app.read.application import read_application

EXAMPLES = blocks((ROOT / "docs/python.md").read_text("utf-8"), "python")
CELLS = [
    "".join(cell["source"])
    for cell in json.loads((ROOT / "docs/notebook.ipynb").read_text("utf-8"))["cells"]
    if cell["cell_type"] == "code"
]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("python")
    build_corpus("phantoms:60", root / "build/corpus")
    build_index(root / "build/corpus", root / "build/index")
    return root


def example(word: str) -> str:
    return next(each for each in EXAMPLES if word in each)


def test_the_example_searches(built, monkeypatch, capsys):
    monkeypatch.chdir(built)
    exec(compile(example("Filter("), "python.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all("lesion" in line.lower() or "ring" in line.lower() for line in lines)


def defined(word: str, monkeypatch) -> type:
    """The class that an example defines, made as part of a module, as libraries want it."""
    module = type(sys)("retriever_of_the_docs")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(example(word), "python.md", "exec"), module.__dict__)
    return module.RocosearchRetriever


def test_the_langchain_retriever(built, monkeypatch):
    pytest.importorskip("langchain_core", reason="needs langchain-core")
    searcher = open_searcher(built / "build/index")
    found = defined("langchain_core", monkeypatch)(searcher=searcher, k=3).invoke("ring lesion")
    expected = searcher.search("ring lesion", k=3)
    assert [document.id for document in found] == list(expected.ids)
    assert [document.page_content for document in found] == [d.caption for d in expected.documents]


def test_the_haystack_retriever(built, monkeypatch):
    pytest.importorskip("haystack", reason="needs haystack-ai")
    searcher = open_searcher(built / "build/index")
    found = defined("haystack", monkeypatch)(searcher, k=3).run("ring lesion")["documents"]
    expected = searcher.search("ring lesion", k=3)
    assert [document.id for document in found] == list(expected.ids)
    assert [document.content for document in found] == [d.caption for d in expected.documents]


def run_cell(source: str, names: dict) -> object:
    """Run a cell; return the value of its last line, where that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


def test_the_notebook_runs_and_shows():
    """Every cell, in order; what a cell ends with has HTML, and none of it is long."""
    names: dict = {}
    shown = [value for cell in CELLS if (value := run_cell(cell, names)) is not None]
    kinds = [type(value).__name__ for value in shown]
    assert kinds == ["tuple", "Record", "Searcher", "Result", "Shown"]
    for value in shown[1:]:
        assert 20 < len(value._repr_html_()) < 200_000
        assert len(repr(value)) < 200
    assert shown[4]._repr_html_().count("<img ") == 6
    assert "background:#0072b2" in shown[3]._repr_html_()


def test_an_evaluation_shows_itself_as_its_table():
    told = Evaluation(corpus=None, pool=[1, 2], tasks=(), skipped=(), pairs=(), provenance={})
    assert repr(told) == "<Evaluation: nothing; 2 documents searched>"
    assert all(word in told._repr_html_() for word in ("protocol", "queries", "chance"))


def test_the_notebook_is_kept_without_outputs():
    notebook = json.loads((ROOT / "docs/notebook.ipynb").read_text("utf-8"))
    assert all(not cell.get("outputs") for cell in notebook["cells"])


def test_paths_may_be_texts(tmp_path):
    """Every public function takes the name of a folder or file as text."""
    names = [str(tmp_path / name) for name in ("corpus", "encoder", "index", "tuned.toml", "app")]
    corpus, encoder, index, tuned, app = names
    pipeline.build_corpus("phantoms:60", corpus)
    pipeline.train_encoder(corpus, encoder, preset="tiny", epochs=1, samples_per_epoch=16)
    pipeline.embed_images(corpus, encoder)
    pipeline.build_index(corpus, index, encoder=encoder)
    picture = tmp_path / "query.png"
    picture.write_bytes(next(Corpus.open(corpus).records("test")).image)
    assert open_searcher(index, encoder=encoder).search(image=str(picture), k=1)
    assert pipeline.load_encoder(encoder).encode_images([str(picture)]).shape == (1, 128)
    lexical = Options(("caption",), ("lexical",), baseline=False)
    with pytest.raises(EvaluationError, match="too few"):
        pipeline.tune_profiles(index, corpus, tuned)
    save_profiles(SHIPPED, tuned)
    pipeline.evaluate(index, corpus, str(tmp_path / "report"), lexical, profiles=tuned)
    assert "services.xml" in pipeline.write_app(index, app, profiles=tuned)
    assert read_application(app).default_profile == "hybrid"
    assert EmbeddedEngine.open(index).count() == 60
    synonyms = tmp_path / "synonyms.txt"
    synonyms.write_text("ct, computed tomography", "utf-8")
    assert read_synonyms(str(synonyms)).forms


@pytest.fixture
def notebook(monkeypatch) -> list[dict[str, str]]:
    """What a notebook is shown; IPython as far as the bars need it."""
    told: list[dict[str, str]] = []
    display = SimpleNamespace(update=lambda shown, raw: told.append(shown))

    def show(shown: dict[str, str], *, raw: bool, display_id: bool) -> SimpleNamespace:
        told.append(shown)
        return display

    module = SimpleNamespace(
        get_ipython=lambda: SimpleNamespace(kernel=None), display=SimpleNamespace(display=show)
    )
    monkeypatch.setitem(sys.modules, "IPython", module)
    return told


def test_a_notebook_shows_progress_bars_unasked(notebook, tmp_path):
    build_corpus("phantoms:20", tmp_path / "corpus")
    assert notebook
    assert notebook[-1]["text/html"].startswith('<progress value="20" max="20"></progress> corpus')
    seen = len(notebook)
    build_corpus("phantoms:20", tmp_path / "other", progress=silent)
    assert len(notebook) == seen


def test_elsewhere_no_bar_is_shown(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    in_notebook("corpus", 1, 2)
    assert capsys.readouterr() == ("", "")
