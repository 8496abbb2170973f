"""An error's advice is apart from how it is written, and stays so on its way."""

import pickle

from foedus.core.advice import Option
from foedus.core.errors import BadInput, FoedusError, NodeFailed


def test_text_is_pythons_and_other_places_write_their_own():
    e = BadInput("column x: ", Option("drop", ["x"]), " or ", Option("task", "regression"))
    assert str(e) == "column x: drop=('x',) or task='regression'"
    assert e.said(lambda o: f"<{o.table}.{o.name}>") == "column x: <data.drop> or <data.task>"


def test_errors_keep_their_advice_when_they_travel():
    e = pickle.loads(pickle.dumps(BadInput("a ", Option("test", None))))
    assert (type(e), str(e), e.args[1]) == (BadInput, "a test=None", Option("test", None))


def test_errors_of_one_text_are_what_they_were():
    assert str(BadInput("a {b}")) == BadInput("a {b}").said(repr) == "a {b}"
    assert str(FoedusError()) == ""
    assert str(NodeFailed("n")) == "n"
