"""How long files take at a load: the simulation beside the lab's Engine and theory, and what is read from a bench."""

import asyncio
import random
from statistics import fmean

import pytest

from dgctl.bench.window import Window, percentile
from dgctl.capacity import queueing
from dgctl.capacity.queueing import QUEUE, SHARED, Model
from lab.deepgram.programs.inference.hearing import Lanes


class VirtualTime(asyncio.SelectorEventLoop):
    """Does not wait: its clock jumps to the next timer."""

    def __init__(self):
        super().__init__()
        self.now, select = 0.0, self._selector.select

        def at_once(timeout):
            self.now += timeout or 0.0
            return select(0)

        self._selector.select = at_once

    def time(self):
        return self.now


def engine(reported, work_s, load, files, seed):
    """What files take in the lab's Engine, in their order."""
    chance, lanes, took = random.Random(seed), Lanes(reported), []

    async def one(loop):
        came = loop.time()
        await lanes.work(work_s)
        took.append(loop.time() - came)

    async def send():
        loop, running = asyncio.get_running_loop(), []
        for _ in range(files):
            await asyncio.sleep(chance.expovariate(load / 60))
            running.append(asyncio.create_task(one(loop)))
        await asyncio.gather(*running)

    loop = VirtualTime()
    try:
        loop.run_until_complete(send())
    finally:
        loop.close()
    return took[files // 10 :]


@pytest.mark.parametrize(
    ("kind", "lanes", "used"), [(QUEUE, 1, 0.6), (QUEUE, 4, 0.8), (SHARED, 4, 0.7), (SHARED, 1, 0.5)]
)
def test_the_simulation_is_as_the_labs_engine(kind, lanes, used):
    model = Model(kind, lanes, 2.0)
    load, files = used * model.most, 4000 if kind == QUEUE else 900
    there = engine(f"{kind} {lanes}", model.work_s, load, files, seed=5)
    here = queueing.sampled(model, load, files, seed=5)  # the same moments at which files come
    assert fmean(here) == pytest.approx(fmean(there), rel=0.05)
    assert percentile(here, 0.95) == pytest.approx(percentile(there, 0.95), rel=0.1)


def test_the_labs_engine_refuses_another_way():
    with pytest.raises(ValueError, match="queue N"):
        Lanes("fifo 2")
    assert engine("", 1.0, 600, 200, 1) == pytest.approx([1.0] * 180), "as it was: no file waits"


@pytest.mark.parametrize("used", [0.5, 0.8])
def test_the_simulation_is_as_theory_has_it(used):
    """M/D/1 by Pollaczek and Khinchine; a shared processor takes work / (1 - used) in the mean (Kleinrock)."""
    load = 60 * used
    assert fmean(queueing.sampled(Model(QUEUE, 1, 1.0), load)) == pytest.approx(1 + used / (2 * (1 - used)), rel=0.05)
    assert fmean(queueing.sampled(Model(SHARED, 1, 1.0), load)) == pytest.approx(1 / (1 - used), rel=0.07)


def bench(model, loads, seed=0, window_s=30.0):
    """The windows that a bench of such a server has."""
    found = []
    for number, load in enumerate(loads):
        runs = queueing._runs(model, Window(load, window_s))
        took = [run for _, run in zip(range(seed + number + 1), runs, strict=False)][-1]
        if took:
            found.append(
                Window(
                    load, window_s, len(took), fmean(took), *(percentile(took, share) for share in (0.5, 0.95, 0.99))
                )
            )
    return found


@pytest.mark.parametrize("true", [Model(QUEUE, 2, 1.0), Model(SHARED, 4, 2.0)])
def test_how_a_server_queues_is_read_from_its_bench(true):
    loads = [load for load in (4, 8, 16, 32, 64, 128, 256) if load < 1.1 * true.most]
    models = queueing.fit(bench(true, [*loads, int(0.8 * true.most), int(0.9 * true.most)], seed=2))
    assert models and all(abs(one.lanes - true.lanes) <= 1 for one in models)
    load = 0.7 * true.most
    reported = queueing.times(models, load, 3.0)
    real = percentile(queueing.sampled(true, load, seed=77), 0.95)
    assert 0.8 * reported.p95_s[0] <= real <= 1.2 * reported.p95_s[1]
    assert 0 <= reported.late[0] <= reported.late[1] <= 1


def test_what_lasts_is_less_than_what_a_short_bench_may_find():
    """A shared processor takes work / (1 - used): with work of 1 s it comes to 3 s in the mean at two thirds of 60 a minute."""
    assert queueing.lasting([Model(SHARED, 1, 1.0)], 3.0) == pytest.approx(40, rel=0.06)
    assert queueing.lasting([Model(QUEUE, 1, 1.0)], 3.0) == pytest.approx(40, rel=0.06), "the slower way counts"
    assert queueing.lasting([], 3.0) is None


def test_without_a_queue_in_the_bench_there_are_no_figures():
    flat = [Window(load, 30.0, load, 1.0, 1.0, 1.0, 1.0) for load in (4, 8, 16, 32)]
    assert queueing.fit(flat) == [] and queueing.fit([]) == []
    refused = [Window(load, 30.0, load, mean, 1.0, 1.0, 1.0, refused=1) for load, mean in ((4, 1), (8, 2), (16, 3))]
    assert queueing.fit(refused) == []


def test_what_fits_no_way_gives_no_figures():
    odd = [
        Window(load, 30.0, load, mean, 1.0, mean, mean) for load, mean in ((4, 1.0), (8, 9.0), (16, 1.0), (32, 1.05))
    ]
    assert queueing.fit(odd) == []


def test_beyond_what_a_way_can_do_there_are_no_figures():
    assert queueing.times([Model(QUEUE, 1, 1.0)], 59.9, 3.0) is None
    assert queueing.times([], 10, 3.0) is None and queueing.times([Model(QUEUE, 1, 1.0)], 0, 3.0) is None
