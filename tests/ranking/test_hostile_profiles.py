"""What people bring as profiles costs a sentence, and a second at most."""

from __future__ import annotations

import gc
import time

import pytest

from encoders.base.errors import UserError
from ranking.profiles.toml import load_profiles

NUMBER = "9" * 400
FIRST = '[profiles.a]\nretrieve = ["text"]\nfirst_phase = '
CHAIN = (
    FIRST
    + '"bm25(caption)"\n'
    + "".join(f'[profiles.p{n}]\ninherits = "{f"p{n - 1}" if n else "a"}"\n' for n in range(2000))
)

HEAD = FIRST + '"f0"\n[profiles.a.functions]\n'
ALIKE = "".join(f'"f{n}(x)" = "bm25(caption) + x"\n' for n in range(1, 199)) + 'f0 = "f1(1)"\n'

HOSTILE = {
    "arguments that double 30 times": FIRST
    + '"f30(1)"\n[profiles.a.functions]\n"f0(x)" = "bm25(caption) + x"\n'
    + "".join(f'"f{n}(x)" = "f{n - 1}(f{n - 1}(x) + x)"\n' for n in range(1, 31)),
    "10,000 functions": HEAD + "".join(f'f{n} = "f{n + 1} + 1"\n' for n in range(10_000)),
    "900 heirs of 200 functions": HEAD
    + ALIKE
    + "".join(f'[profiles.p{n}]\ninherits = "a"\n' for n in range(900)),
    "a key of 100,000 parts": ".".join("a" * 100_000) + " = 1\n",
    "UTF-16": "\udcff\udcfe[\0",
    "an input of 400 digits": FIRST + f'"query(x)"\n[profiles.a.inputs]\nx = {NUMBER}\n',
    "a constant of 400 digits": FIRST + f'"{NUMBER} * bm25(caption)"\n',
    "a count of 400 digits": FIRST
    + f'"bm25(caption)"\n[profiles.a.second_phase]\nexpression="1"\nrerank_count = {NUMBER}\n',
    "a constant of 5,000 digits": FIRST + f'"{"9" * 5000} * bm25(caption)"\n',
    "5,000 heirs": FIRST
    + '"1"\n'
    + "".join(f'[profiles.p{n}]\ninherits = "a"\n' for n in range(5000)),
    "5,000 digits": FIRST + f'"query(x)"\n[profiles.a.inputs]\nx = {"9" * 5000}\n',
    "2,000 brackets": FIRST + f'"{"(" * 2000}bm25(caption){")" * 2000}"\n',
    "2,000 brackets open": FIRST + f'"{"(" * 2000}"\n',
    "2,000 nested lists": FIRST + '"1"\nmatch_features = ' + "[" * 2000 + "]" * 2000 + "\n",
    "2,000 nested tables": "[profiles" + ".a" * 2000 + "]\n",
    "2,000 heirs": CHAIN,
    "a cycle": FIRST + '"1"\ninherits = "b"\n[profiles.b]\ninherits = "a"\n',
    "100,000 terms": FIRST + f'"{" + ".join(["bm25(caption)"] * 60_000)}"\n',
    "100,000 short terms": FIRST + f'"{"+".join("1" * 100_000)}"\n',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_ends_in_a_sentence_in_a_second(tmp_path, name):
    (tmp_path / "p.toml").write_bytes(HOSTILE[name].encode(errors="surrogateescape"))
    gc.freeze()  # a collection that falls due here does not look through what other tests left
    try:
        started = time.process_time()
        with pytest.raises(UserError) as caught:
            load_profiles(tmp_path / "p.toml")
        seconds = time.process_time() - started
    finally:
        gc.unfreeze()
    assert seconds < 1
    assert not any(words in str(caught.value) for words in ("codec", "Exceeds the limit"))
    assert 10 < len(str(caught.value)) - len(str(tmp_path)) < 300
