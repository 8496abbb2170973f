"""Mistakes that are easily made in writing a program or a job are told as what they are, with the line."""

import asyncio
import gc
import re
import warnings
from dataclasses import dataclass

import pytest

import foedus as fd
from foedus.core.code_line import place
from foedus.core.coordination.mistakes import Calls

LOCAL = fd.LocalSGD(lr=0.1)
HERE = r"tests/core/coordination/test_mistakes\.py:\d+: "


@pytest.fixture(scope="module")
def data():
    return fd.data.load("breast-cancer").split(fd.data.IID(), nodes=3, seed=0)


@pytest.fixture(scope="module")
def model():
    return fd.Model(fd.models.logistic(30, 2))


def told(program, model, data, kind=fd.ProgramError, **options):
    """What is said of a program, and no more: Python's own warning of it would be noise."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(kind) as e:
            fd.train(program, model, data, **options)
    return str(e.value)


async def begin(view):
    return await view.begin(lambda w: fd.State(w=w))


async def map_reduce(fed, s):
    total = fed.map_reduce(LOCAL, {"w": s.w}, [0, 1], fd.Mean())
    await fed.commit(s.replace(w=s.w + total["delta"]))


async def answer_left(fed, s):
    fed.map_reduce(LOCAL, {"w": s.w}, [0, 1], fd.Mean())
    await fed.commit(s)


async def sample(fed, s):
    await fed.map(LOCAL, {"w": s.w}, fed.sample(fd.Fixed(2)))


async def commit(fed, s):
    fed.commit(s)


async def evaluate(fed, s):
    await fed.commit(s.replace(w=fed.evaluate(s.w)))


async def summed(fed, s):
    await fed.commit(s.replace(w=s.w + fed.map_reduce(LOCAL, {"w": s.w}, [0], fd.Mean())))


@pytest.mark.parametrize("step", [map_reduce, answer_left, sample, commit, evaluate, summed])
def test_a_call_that_is_not_awaited_is_named_with_its_line(step, model, data):
    async def program(fed):
        s = await begin(fed)
        for _ in fed.rounds(2):
            await step(fed, s)
        return s.w

    name = {"answer_left": "map_reduce", "summed": "map_reduce"}.get(step.__name__, step.__name__)
    said = told(program, model, data)
    call = rf"fed\.{name}\(\.\.\.\)"
    assert re.fullmatch(rf"{HERE}{call} was called and not awaited, so that it was not done: write await {call}", said)
    line = step.__code__.co_firstlineno
    assert int(said.split(":")[1]) in range(line + 1, line + 3)


def test_a_first_state_that_is_not_awaited(model, data):
    async def program(fed):
        return fed.begin(lambda w: fd.State(w=w)).w

    assert re.match(rf"{HERE}fed\.begin\(\.\.\.\) was called", told(program, model, data))


@pytest.mark.parametrize(
    "runtime", [fd.Simulation(), pytest.param(fd.Processes(), marks=pytest.mark.slow)], ids=["simulation", "processes"]
)
def test_a_peer_that_does_not_await(model, data, runtime):
    assert re.match(rf"{HERE}peer\.exchange\(\.\.\.\) was called", told(Peer(), model, data, runtime=runtime))


@dataclass(frozen=True)
class Peer:
    async def __call__(self, peer: fd.Peer):
        s = await peer.begin(fd.State)
        for _ in peer.rounds(2):
            near = peer.exchange({"w": s.w})
            await peer.commit(s.replace(w=near[peer.id]["w"]))


def test_calls_that_are_awaited_together_or_by_tasks_are_awaited(model, data):
    async def program(fed):
        s = await begin(fed)
        for _ in fed.rounds(2):
            calls = [fed.map_reduce(LOCAL, {"w": s.w}, [n], fd.Mean()) for n in range(3)]
            totals = await asyncio.gather(*calls)
            pause = asyncio.ensure_future(fed.sleep(1.0))  # it has not begun when the commit is made
            s = s.replace(w=s.w + sum(t["delta"] for t in totals))
            await fed.commit(s)
            await pause

    assert fd.train(program, model, data).history[-1].virtual_s == pytest.approx(1.0, abs=0.1)


def test_what_a_program_is_not(model, data):
    class NotAsync:
        def __call__(self, fed):
            return None

    class Generator:
        async def __call__(self, fed):
            yield 1

    async def nothing(fed):
        return None

    assert told(NotAsync(), model, data).startswith("NotAsync.__call__ is not async: write async def")
    assert told(Generator(), model, data).startswith("Generator.__call__ has a yield")
    assert told(nothing, model, data).startswith("the program ended without fed.commit(state)")


async def awaited_rounds(fed, s):
    for _ in await fed.rounds(2):
        pass


async def async_rounds(fed, s):
    async for _ in fed.rounds(2):
        pass


async def plain_with(fed, s):
    with fed.stream(LOCAL):
        pass


async def plain_for(fed, s):
    async with fed.stream(LOCAL) as updates:
        for _ in updates:
            pass


async def a_class(fed, s):
    await fed.map(fd.LocalSGD, {"w": s.w}, [0])


async def an_aggregators_class(fed, s):
    await fed.map_reduce(LOCAL, {"w": s.w}, [0], fd.Mean)


async def a_tensor(fed, s):
    await fed.map(LOCAL, s.w, [0])


async def no_tensor(fed, s):
    await fed.map(LOCAL, {"w": 1.0}, [0])


async def a_node(fed, s):
    await fed.map(LOCAL, {"w": s.w}, 0)


async def no_state(fed, s):
    await fed.commit(s.w)


async def no_function(fed, s):
    fed._s.state = None
    await fed.begin(s)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (awaited_rounds, "leave out the await"),
        (async_rounds, "write for, without async"),
        (plain_with, "write async with fed.stream"),
        (plain_for, "write async for"),
        (a_class, "LocalSGD is the class of one: write LocalSGD(...)"),
        (an_aggregators_class, "Mean is the class of one: write Mean(...)"),
        (a_tensor, 'named tensors, such as {"w": state.w}; got a Tensor'),
        (no_tensor, "its argument 'w' is a float"),
        (a_node, "nodes are a list of ids, such as [0, 2], or what fed.sample gave; got 0"),
        (no_state, "fed.commit takes a State, such as state.replace(w=w); got a Tensor"),
        (no_function, "begin needs a function that returns a State"),
    ],
)
def test_what_is_of_another_kind_than_is_wanted(step, words, model, data):
    async def program(fed):
        await step(fed, await begin(fed))

    said = told(program, model, data)
    assert words in said
    assert re.match(HERE, said)


async def total(fed, s):
    return (await fed.map_reduce(LOCAL, {"w": s.w}, [0, 1], fd.Mean()))["detla"]


async def answer(fed, s):
    return (await fed.map(LOCAL, {"w": s.w}, [0]))[0]["detla"]


async def state(fed, s):
    return s.replace(delta=1.0).detla


@pytest.mark.parametrize("step", [total, answer, state])
def test_a_part_that_is_not_there_says_which_are(step, model, data):
    async def program(fed):
        await step(fed, await begin(fed))

    said = told(program, model, data)
    assert re.match(HERE, said)
    assert "'detla'" in said
    assert "did you mean 'delta'?" in said


def test_peers_messages_say_which_parts_they_have(model, data):
    async def program(peer: fd.Peer):
        s = await peer.begin(fd.State)
        near = await peer.exchange({"w": s.w, "weight": s.w})
        return near[0]["wieght"]

    assert "no 'wieght' in what node 0 sent: did you mean 'weight'? There is 'w', 'weight'" in told(
        program, model, data
    )


def test_what_is_asked_for_with_a_default_is_no_mistake(model, data):
    async def program(fed):
        s = await begin(fed)
        total = await fed.map_reduce(LOCAL, {"w": s.w}, [0], fd.Mean())
        assert total.get("buffers") is None
        assert "buffers" not in total
        assert getattr(s, "momentum", None) is None
        await fed.commit(s)

    assert len(fd.train(program, model, data).history) == 1


@dataclass(frozen=True)
class OneJob:
    """A job whose answer is that of a function."""

    what: str

    def work(self, rows):
        return fd.Work(trained=rows)

    def parts(self, model):
        return {"delta": (model.layout.size,)}

    def __call__(self, node, args):
        update = fd.Update({"delta": args["w"] * 0}, 1.0)
        if self.what == "args":
            args["vv"]
        if self.what == "memory":
            node.state["control"]
        return {"nothing": None, "update": update, "dict": (dict(update.parts), {})}.get(self.what, (update, {}))


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("args", "no 'vv' in what OneJob was given: There is 'w'"),
        ("memory", "no 'control' in what this node remembers: it is empty"),
        ("nothing", "OneJob must return an update and what the node remembers of it, .* it returned NoneType"),
        ("update", "it returned Update"),
        ("dict", r"it returned \(dict, dict\)"),
    ],
)
def test_a_job_that_asks_or_answers_wrongly(what, words, model, data):
    async def program(fed):
        s = await begin(fed)
        await fed.map_reduce(OneJob(what), {"w": s.w}, [0], fd.Mean())

    assert re.search(words, told(program, model, data, kind=fd.NodeFailed))


def test_a_cell_of_a_notebook_is_called_so(tmp_path, monkeypatch):
    assert place("/tmp/ipykernel_4711/1234567.py", 3) == "line 3 of the cell"
    monkeypatch.chdir(tmp_path)
    assert place(str(tmp_path / "mine.py"), 3) == "mine.py:3"
    assert place("/elsewhere/mine.py", 3) == "/elsewhere/mine.py:3"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError], ids=lambda e: e.__name__)
def test_a_call_that_was_to_be_awaited_when_the_run_ended_is_not_warned_of(error, model, data):
    """Ctrl-C comes between a call and its await, once in a thousand times."""

    async def program(fed):
        s = await begin(fed)
        call = fed.map_reduce(LOCAL, {"w": s.w}, [0, 1], fd.Mean())
        if call is not None:
            raise error("now")
        await call

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(error):
            fd.train(program, model, data)
        gc.collect()
    assert not [w for w in said if "never awaited" in str(w.message)]


def test_a_call_that_is_interrupted_while_it_is_noted_is_not_warned_of(monkeypatch, model, data):
    def interrupted(calls, call):
        raise KeyboardInterrupt

    async def program(fed):
        monkeypatch.setattr(Calls, "add", interrupted)
        await fed.begin(lambda w: fd.State(w=w))

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(KeyboardInterrupt):
            fd.train(program, model, data)
        gc.collect()
    assert not [w for w in said if "never awaited" in str(w.message)]
