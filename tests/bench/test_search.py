"""The search, against servers of known capacity: it finds it in spite of noise, and gives no number that it has not seen."""

import random

import pytest

from dgctl.bench.search import Plan, Search, TooSlow, Unsteady
from dgctl.bench.window import Bounds, Raw, Window, differ, fault, is_clear, merged, unsteady, void

BOUNDS = Bounds()


class Server:
    """Answers windows: `knee` is the highest load whose true mean is within 400 ms. `noise`: of a window's mean, a share."""

    def __init__(self, knee, shape, noise=0.05, seed=0, **more):
        self.knee, self.shape, self.noise, self.random, self.more = knee, shape, noise, random.Random(seed), more
        self.asked = []

    def mean(self, load):
        if self.shape == "cliff":
            return 0.12 if load <= self.knee else 3.0
        return 0.1 + 0.3 * (load / self.knee) ** 4

    def __call__(self, load, long):
        self.asked.append((load, long))
        noise = self.random.gauss(1, self.noise / (2 if long else 1))  # four times the results
        mean = max(0.01, self.mean(load) * noise)
        return Window(load, 120 if long else 30, load * 30, mean, mean, 1.6 * mean, 2 * mean, **self.more)


def search(server, plan=None):
    return Search(server, BOUNDS, plan or Plan()).run()


@pytest.mark.parametrize("shape", ["smooth", "cliff"])
@pytest.mark.parametrize("knee", [1, 7, 40, 173, 900])
def test_it_finds_the_capacity_19_of_20_times(knee, shape):
    near = max(1, 0.05 * knee)
    good = sum(abs(search(Server(knee, shape, seed=seed)).lower - knee) <= near for seed in range(20))
    assert good >= 19


@pytest.mark.parametrize("shape", ["smooth", "cliff"])
def test_it_says_how_the_server_fails(shape):
    found = search(Server(60, shape, noise=0))
    assert found.cliff is (shape == "cliff") and found.sustained and "in the mean" in found.cause
    assert found.lower <= 60 < found.upper and found.upper - found.lower <= 3


def test_it_asks_few_windows():
    server = Server(100, "smooth", seed=3)
    search(server)
    assert len(server.asked) <= 22, "of 40 s each that is a quarter of an hour"


def test_what_holds_not_even_one():
    found = search(Server(0.5, "cliff"))
    assert (found.lower, found.upper, found.sustained) == (0, 1, False)


def test_no_load_is_tried_that_a_window_would_hardly_see():
    server = Server(3, "cliff", noise=0)
    found = search(server, Plan(60, least=10))
    assert (found.lower, found.upper, {load for load, _ in server.asked}) == (0, 10, {60, 30, 15, 10})


def test_what_never_fails_has_no_upper_bound():
    found = search(Server(10_000, "cliff"), Plan(most=64))
    assert (found.lower, found.upper, found.sustained) == (64, None, True)


def test_a_boundary_that_does_not_last_is_lowered():
    class Tired(Server):
        def __call__(self, load, long):
            window = super().__call__(load, long)
            return Window(**{**window.__dict__, "drift": 2.0}) if long and load > 50 else window

    found = search(Tired(60, "smooth", noise=0))
    assert found.sustained and 40 <= found.lower <= 50 and "becomes slower" in found.cause


def test_a_limit_of_the_server_is_told_from_its_capacity():
    class Limited(Server):
        def __call__(self, load, long):
            return Window(load, 30, 100, 0.1, 0.1, 0.1, 0.1, refused=max(0, load - 20), causes=("HTTP 503",))

    found = search(Limited(60, "smooth"))
    assert found.limited and (found.lower, found.upper) == (20, 21)


def test_a_machine_that_is_too_slow_gives_no_number():
    server = Server(60, "smooth", lag_p99_s=0.05)
    with pytest.raises(TooSlow, match="this machine sent late: 50 ms"):
        search(server)
    assert len(server.asked) == 3


def test_one_void_window_is_asked_again():
    class Once(Server):
        def __call__(self, load, long):
            window = super().__call__(load, long)
            return Window(**{**window.__dict__, "lag_p99_s": 0.5}) if len(self.asked) == 1 else window

    found = search(Once(10, "cliff"))
    assert found.lower == 10 and all(window.lag_p99_s == 0 for window in found.windows)


def test_a_server_that_became_slower_gives_no_number():
    class Throttled(Server):
        def mean(self, load):
            return super().mean(load) * (2 if len(self.asked) > 4 else 1)

    with pytest.raises(Unsteady, match=r"100 ms in the mean at .* before, and 2.. ms afterwards"):
        search(Throttled(40, "smooth", noise=0))
    with pytest.raises(Unsteady, match=r"159 ms in the mean at 4 before, and 319 ms afterwards"):
        search(Throttled(6, "smooth", noise=0))  # of which 3 are left


def test_a_machine_that_stalls_in_the_long_run_is_no_trouble_of_the_server():
    class Stalls(Server):
        def __call__(self, load, long):
            found = super().__call__(load, long)
            return Window(**{**found.__dict__, "swing": 2.5, "lag_p99_s": 0.3}) if long else found

    with pytest.raises(TooSlow, match="this machine sent late: 300 ms"):
        search(Stalls(40, "smooth", noise=0))


def test_what_was_in_the_way_once_gives_no_number():
    """The third window had a neighbour, who left: 16 did not hold, and 15 does."""

    class Disturbed(Server):
        def mean(self, load):
            return 3.0 if len(self.asked) == 3 else super().mean(load)

    with pytest.raises(Unsteady, match=r"16 does not hold \(3000 ms in the mean\), and holds afterwards"):
        search(Disturbed(40, "smooth", noise=0))


def test_what_is_close_to_the_bound_once_more_gives_its_number():
    """16 was 3 s in the one window, and 390 ms in the next."""

    class Disturbed(Server):
        def mean(self, load):
            return 3.0 if len(self.asked) == 3 else 0.39 if load == 16 else super().mean(load)

    assert search(Disturbed(40, "smooth", noise=0)).lower == 15


def test_a_neighbour_who_comes_and_goes_gives_no_number():
    class Shared(Server):
        def __call__(self, load, long):
            found = super().__call__(load, long)
            return Window(**{**found.__dict__, "swing": 2.5}) if long or load == 8 else found

    server = Shared(40, "smooth", noise=0)
    with pytest.raises(Unsteady, match=r"at 8: 2\.5 times as long in one slice"):
        search(server)
    assert server.asked == [(4, False), *[(8, False)] * 3], "once may be chance"
    with pytest.raises(Unsteady, match=r"at 40: 2\.5 times"):
        search(Shared(40, "smooth", noise=0), Plan(40, 41))


@pytest.mark.parametrize(
    ("first", "later", "results", "says"),
    [
        (0.1, 0.2, 100, True),
        (0.1, 0.14, 100, False),
        (0.1, 0.2, 4, False),
        (0.01, 0.025, 100, False),
        (0.3, 0.1, 100, True),
    ],
)
def test_windows_differ_by_more_than_chance(first, later, results, says):
    assert differ(Window(4, 30.0, results, first), Window(4, 30.0, results, later)) is says


def test_slices_of_a_window():
    """A neighbour for a third of it. What does not hold, or has few results, says nothing of neighbours."""
    took = [(at / 10, 0.3 if at >= 200 else 0.1) for at in range(300)]
    found = merged(4, 30.0, [Raw(latencies=took)])
    assert found.swing == pytest.approx(3.0) and "3.0 times as long in one slice of 10 s" in unsteady(found, BOUNDS)
    assert merged(4, 30.0, [Raw(latencies=took[::10])]).swing == 1.0
    late = merged(4, 30.0, [Raw(latencies=[(at, 5 * seconds) for at, seconds in took])])
    assert late.swing == pytest.approx(3.0) and unsteady(late, BOUNDS) == "", "above its capacity a queue grows"


def window(**changes):
    return Window(**{"load": 10, "seconds": 30.0, "results": 100, "mean_s": 0.2, "p95_s": 0.4, **changes})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, ""),
        ({"mean_s": 0.41}, "410 ms in the mean"),
        ({"p95_s": 1.1}, "1100 ms at P95"),
        ({"refused": 2}, "2 refused"),
        ({"broken": 1}, "1 broken"),
        ({"results": 0}, "no results"),
        ({"words": 0.97}, "3 % of the words missing"),
        ({"mean_s": 0.3, "drift": 1.6}, "it becomes slower"),
        ({"mean_s": 0.05, "drift": 1.6}, ""),
        ({"factor": 80.0}, "80 times real time"),
        ({"factor": 120.0}, ""),
    ],
)
def test_faults(changes, says):
    assert says in fault(window(**changes), BOUNDS) and bool(fault(window(**changes), BOUNDS)) is bool(says)


def test_the_words_of_the_lowest_load_are_the_measure():
    assert fault(window(words=0.95), BOUNDS, words_at_best=0.955) == ""


@pytest.mark.parametrize(("mean", "clear"), [(0.2, True), (0.35, False), (0.45, False), (0.6, True)])
def test_what_is_close_is_not_clear(mean, clear):
    assert is_clear(window(mean_s=mean), BOUNDS) is clear


def test_windows_of_several_processes_are_one():
    one = Raw(
        latencies=[(1.0, 0.1), (20.0, 0.3)], lags=[0.001], words_reported=10, words_heard=9, cpu_s=3, causes=["x"]
    )
    other = Raw(
        latencies=[(2.0, 0.2)], lags=[0.03], broken=1, words_reported=10, words_heard=10, cpu_s=3, causes=["x", "y"]
    )
    found = merged(7, 30.0, [one, other])
    assert (found.load, found.results, found.broken, found.causes) == (7, 3, 1, ("x", "y"))
    assert (
        found.mean_s == pytest.approx(0.2) and found.drift == pytest.approx(2.0) and found.words == pytest.approx(0.95)
    )
    assert found.client_cores == pytest.approx(0.2) and void(found, BOUNDS)
