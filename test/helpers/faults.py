"""The node as a process that runs functions of a test inside itself, to break its parts.

In a process of its own, a node that hangs is killed, and the next test starts afresh.
"""

import gc
import sys
import threading
import weakref
from dataclasses import fields, replace
from multiprocessing import connection
from pathlib import Path
from unittest import mock

import torch
from node_process import NodeProcess
from waiting import TIMEOUT, wait_for

from panoptic_ros.ros import diagnostics, lifecycle, node

# Both processes import the functions below by name.
FOLDERS = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
PROGRAM = f"import sys; sys.path[:0] = {FOLDERS}; import faults; faults.run_node()"


class BreakableNode(NodeProcess):
    """Start a node that takes functions over a socket."""

    def __init__(self, folder, **parameters):
        with connection.Listener(family="AF_UNIX") as listener:
            super().__init__(folder, program=["-c", PROGRAM, listener.address], **parameters)
            # A listener waits without end, even where the node could not start.
            accept = threading.Thread(target=self._accept, args=(listener,), daemon=True)
            accept.start()
            wait_for(lambda: self.has_ended() or not accept.is_alive(), "the node's door")
        assert not self.has_ended(), self.output()

    def _accept(self, listener):
        self._door = listener.accept()

    def do(self, function, *args):
        """Run a function of this module in the node's process; return what it returns."""
        self._door.send((function, args))
        assert self._door.poll(TIMEOUT), f"{function.__name__} hangs"
        succeeded, result = self._door.recv()
        assert succeeded, result
        return result


def run_node():
    """Run the node's program with a door; its address is the first argument."""

    class BreakableNode(lifecycle.PanopticNode):
        def __init__(self):
            super().__init__()
            threading.Thread(target=_serve, args=(weakref.ref(self),), daemon=True).start()

    lifecycle.PanopticNode = BreakableNode
    # Tests wait for one report after the other.
    diagnostics.PERIOD_SECONDS = 0.2
    node.main()


def _serve(reference):
    with connection.Client(sys.argv[1]) as door:
        while True:
            function, args = door.recv()
            try:
                door.send((True, function(reference(), *args)))
            except Exception as error:
                door.send((False, repr(error)))


# ---- what can be done inside: functions of the node


_go_on = threading.Event()
_remembered = []


def mend(node):
    """Take every fault back."""
    _go_on.set()
    mock.patch.stopall()


def hang(node):
    """Let the inference hang until `mend`."""
    pipeline = node.session.pipeline
    run = pipeline.run
    _go_on.clear()
    _replace(pipeline, "run", lambda *args: (_go_on.wait(), run(*args))[1])


def fail(node, error):
    """Let the inference raise an error."""
    _replace(node.session.pipeline, "run", _raising(error))


def fail_callback(node, error):
    """Let the camera's callback raise an error."""
    _replace(node.session.cameras[0], "_on_image", _raising(error))


def give_no_numbers(node, part, value):
    """Let the semantic network (0) or the instance network (1) return NaN or infinity."""
    networks = node.session.pipeline.networks

    class Broken:
        def __call__(self, *args):
            found = list(networks(*args))
            field = fields(found[part])[0].name
            broken = torch.full_like(getattr(found[part], field), value)
            found[part] = replace(found[part], **{field: broken})
            return found

        def __getattr__(self, name):
            return getattr(networks, name)

    _replace(node.session.pipeline, "networks", Broken())


def end_worker(node):
    """End the inference thread."""
    node.session.worker.stop()


def remember_session(node):
    """Watch the session for `session_is_gone`."""
    _remembered.append(weakref.ref(node.session))


def is_segmenting(node):
    """Return whether an image of ~/segment waits for its answer."""
    return node.session.is_segmenting()


def session_is_gone(node):
    """Return whether nothing holds the remembered session any more."""
    gc.collect()
    return all(session() is None for session in _remembered)


def add_failing_timer(node):
    """Make a timer that raises an error once."""

    def once():
        timer.cancel()
        raise LookupError("nothing")

    timer = node.create_timer(0.01, once)


def add_failing_service(node):
    """Make a service `broken` that raises an error."""
    from std_srvs.srv import Trigger

    node.create_service(Trigger, "broken", _raising(LookupError("nothing")))


def block_callbacks(node):
    """Let the executor take no callback until `mend`; return when it does not."""
    busy = threading.Event()
    _go_on.clear()
    timer = node.create_timer(0.0, lambda: (timer.cancel(), busy.set(), _go_on.wait(TIMEOUT)))
    assert busy.wait(TIMEOUT)


def _replace(owner, name, value):
    mock.patch.object(owner, name, value).start()


def _raising(error):
    def fail(*args):
        raise error

    return fail
