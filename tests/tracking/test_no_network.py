"""Nothing is sent anywhere, by Python or by the processes that a library starts."""

import os
import socket
import subprocess
import sys

SCRIPT = """
import socket, sys, time

tried, connect = [], socket.socket.connect


def guarded(self, address):
    if self.family != socket.AF_UNIX:
        tried.append(address)
        raise OSError("no network")
    return connect(self, address)


socket.socket.connect = socket.socket.connect_ex = guarded

import foedus as fd
from foedus.tracking import About, MLflow, TensorBoard, Trackers, WandB

data = fd.data.load("digits").split(fd.data.IID(), nodes=3)
model = fd.Model(fd.models.logistic(64, 10))
with Trackers.open((TensorBoard(), MLflow(), WandB()), About("FedAvg")) as trackers:
    run = fd.train(fd.FedAvg(rounds=2), model, data, progress=trackers.record)
    trackers.close(run)
import threading
for t in threading.enumerate():  # what a library might still have to say
    if "elemetry" in t.name:
        t.join(5)
print(len(run.history), tried, trackers.__dict__["_opened"])
"""
# Libraries that know they are tested are quieter than they are at users'.
TESTING = ("PYTEST_CURRENT_TEST", "CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "BUILDKITE")


def run(tmp_path, **more):
    """The script's output, what it said on standard error, and how many connections a proxy was asked for.

    Go's and Python's HTTP clients alike go through the proxy that the environment names, so a process beside ours that
    wanted to reach the network would be heard.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        drop = (*TESTING, "NO_PROXY", "no_proxy", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "WANDB_ERROR_REPORTING")
        env = {k: v for k, v in os.environ.items() if k not in drop}
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            env[name] = env[name.upper()] = proxy
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=env | more, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        asked = 0
        while True:
            try:
                listener.accept()[0].close()
                asked += 1
            except BlockingIOError:
                return done.stdout, done.stderr, asked


def test_a_run_with_every_tracker_reaches_nobody(tmp_path):
    out, err, asked = run(tmp_path)
    assert out == "2 [] []\n"
    assert err == ""
    assert asked == 0
    assert {p.name for p in tmp_path.iterdir()} == {"tb", "mlruns", "wandb"}


def test_the_guard_hears_a_library_that_speaks(tmp_path):
    out, _, _ = run(tmp_path, MLFLOW_DISABLE_TELEMETRY="false")
    assert "127.0.0.1" in out  # it asked the proxy
