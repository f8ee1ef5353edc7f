"""The lifecycle node: states, parameters and health of a session."""

from __future__ import annotations

import functools
import gc
import itertools
import time
import weakref
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from threading import Thread
from typing import Any

import torch
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from panoptic_ros.allocator import give_back_freed_memory
from panoptic_ros.messages.refusal import one_line
from panoptic_ros.output_messages import LABEL_INFO
from panoptic_ros.ros.camera_stream import MEMORY_ADVICE
from panoptic_ros.ros.diagnostics import Reporter, Status
from panoptic_ros.ros.parameter_spec import declare, leaves, updated
from panoptic_ros.ros.parameters import CameraOwnParameters, Parameters
from panoptic_ros.ros.served_model import ServedModel
from panoptic_ros.ros.session import Session
from panoptic_ros.srv import Segment
from panoptic_ros.stream.health import HealthMonitor, LogPause

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
# `cleanup` waits this long for the current frame; a hanging network may never return.
CLEANUP_SECONDS = 0.5
# So long a new model's answer waits for the frame that the old one has in work.
FREE_SECONDS = 5.0
TURN_SECONDS = 0.005

Transition = Callable[["PanopticNode", LifecycleState], TransitionCallbackReturn]


def _told(transition: Transition) -> Transition:
    """Log what a transition raises: rclpy swallows it and goes to on_error."""

    @functools.wraps(transition)
    def guarded(self: PanopticNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(self, state)
        except Exception as error:
            reason = f"{transition.__name__.removeprefix('on_')} failed: {type(error).__name__}"
            # Diagnostics show it until the next configuration.
            self._error = one_line(f"{reason}: {error}. Configure again")
            self.get_logger().error(self._error)
            return TransitionCallbackReturn.ERROR

    return guarded


class PanopticNode(LifecycleNode):
    """Run the panoptic pipeline on a camera's frames.

    From the topic to the labels: session.py; from there to the grid: ground.py; topics out:
    outputs.py; parameters: parameters.py; health: diagnostics.py.
    Callbacks never wait for the networks, which run in the worker's thread, so that services
    answer. While active, every frame that is not replaced is worked on, whether or not
    somebody subscribes (deactivate to rest the GPU); outputs are converted on demand.
    Raise ValueError for a bad parameter at start.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__("panoptic", **node_options)
        self._settings = declare(self, Parameters())
        # What each of several cameras has of its own; and the parameters of each, of all for "".
        self._own: dict[str, CameraOwnParameters] = {}
        self._chosen = {"": self._settings}
        self._state = "unconfigured"
        self._error = ""
        # What an engine does to get ready.
        self._step = ""
        self.session: Session | None = None
        # Ended sessions whose last inference has not returned yet.
        self._ending: list[Session] = []
        self._track_ids = itertools.count(1)
        self._callback_errors = HealthMonitor((), ("callback",))
        self._callback_pause = LogPause(1.0)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._is_loading = False
        self.create_service(SetBool, "~/pause", self._on_pause)
        # Alone in its group, so that nothing waits for it, and in one that does not exclude itself.
        group = ReentrantCallbackGroup()
        self.create_service(Trigger, "~/load_model", self._on_load_model, callback_group=group)
        self.create_service(Segment, "~/segment", self._on_segment, callback_group=group)
        self._reporter = Reporter(self, self._status)
        if self._settings.autostart:
            # On a steady clock: simulated time may not run yet.
            clock = Clock(clock_type=ClockType.STEADY_TIME)
            self._autostart_timer = self.create_timer(0.0, self._autostart, clock=clock)

    def close(self, timeout: float) -> bool:
        """End all threads; return whether the frame in work was done within the timeout.

        timeout: seconds. To be called from outside the executor, before the context ends.
        """
        self._reporter.close()
        return self.session is None or self.session.end(timeout)

    def callback_failed(self, where: str, error: BaseException) -> None:
        """Count and log what a callback raised; whoever spins the node goes on.

        where: what was called, such as a topic.
        """
        words = one_line(f"a callback of {where} failed: {type(error).__name__}: {error}")
        self._callback_errors.count("callback", words)
        if self._callback_pause.is_due(where):
            self.get_logger().error(words)

    # ---- lifecycle

    @_told
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the networks and announce the output topics."""
        self._state, self._error = "configuring", ""
        try:
            self._declare_cameras()
            self.session = Session(self, self._chosen, self._track_ids, self._warm_up)
        except Exception as error:
            return self._refuse_to_configure(_reason(error))
        self._state = "inactive"
        return super().on_configure(state)

    @_told
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera."""
        result = super().on_activate(state)
        session = self._session_of_now()
        session.start()
        self._state = "active"
        status, chosen = session.status(self._state), self._settings
        self.get_logger().info(
            f"device {status.device}, weights {status.weights}, fusion {status.fusion}, "
            f"input {status.input_topic} ({chosen.image_transport}, {chosen.qos.reliability}), "
            f"camera pose from {chosen.ground.camera_pose_source}"
        )
        return result

    @_told
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop subscribing; the frame in work is dropped."""
        self._session_of_now().pause()
        self._state = "inactive"
        return super().on_deactivate(state)

    @_told
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Withdraw the topics and free the networks' memory, at the latest with the frame in work.

        A hanging inference blocks nothing else: diagnostics say busy until it returns.
        """
        self._release()
        self._state = "unconfigured"
        return super().on_cleanup(state)

    @_told
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Do what deactivate and cleanup do, for good."""
        self._release()
        self._state = "finalized"
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to unconfigured after a transition that went wrong."""
        self._error = self._error or f"a transition from {state.label} failed. Configure again"
        self._release()
        self._state = "unconfigured"
        return super().on_error(state)

    def _autostart(self) -> None:
        self.destroy_timer(self._autostart_timer)
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def _warm_up(self, step: str) -> None:
        """Show a step of an engine that gets ready; "": it is."""
        self._step = step
        if step:
            self.get_logger().info(f"warming up: {step}")

    def _declare_cameras(self) -> None:
        """Declare what the cameras have of their own; raise ValueError for a bad name or value."""
        self._settings.check_cameras()
        for name in self._own.keys() - set(self._settings.cameras):
            self._own.pop(name)
            self._undeclare(name)
        for name in self._settings.cameras:
            if name not in self._own:
                try:
                    self._own[name] = declare(self, self._settings.own, f"{name}.")
                except Exception:
                    self._undeclare(name)
                    raise
        self._own = {name: self._own[name] for name in self._settings.cameras}
        self._chosen = _chosen(self._settings, self._own)

    def _undeclare(self, camera: str) -> None:
        for leaf in leaves(CameraOwnParameters(), f"{camera}."):
            if self.has_parameter(leaf.name):
                self.undeclare_parameter(leaf.name)

    def _refuse_to_configure(self, reason: str) -> TransitionCallbackReturn:
        self._state, self._error = "unconfigured", one_line(f"cannot configure: {reason}")
        self.get_logger().error(f"{self._error}. Set the parameter at fault and configure again")
        _free_memory()
        return FAILURE

    def _session_of_now(self) -> Session:
        if self.session is None:
            raise RuntimeError("the node is not configured")
        return self.session

    def _release(self) -> None:
        session, self.session = self.session, None
        if session is not None and not session.close(CLEANUP_SECONDS):
            self._ending.append(session)
        del session
        _free_memory()

    def _forget_ended(self) -> None:
        """Free the memory of sessions whose last inference has returned."""
        # Only the reporter's thread takes away, so that no lock is needed.
        ended = [session for session in list(self._ending) if not session.is_busy()]
        for session in ended:
            self._ending.remove(session)
        if ended:
            del ended, session
            _free_memory()

    # ---- services

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if self.session is None or self._state != "active":
            response.message = f"the node is {self._state}: configure and activate it first"
            return response
        self.session.rest(request.data)
        response.success = True
        response.message = "paused: frames are dropped" if request.data else "active"
        return response

    async def _on_load_model(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Load what `weights` names beside the model in use, which answers frames meanwhile."""
        session, chosen = self.session, self._settings
        if session is None:
            response.message = f"the node is {self._state}: configure loads the model"
        elif self._is_loading:
            response.message = "a model is being loaded: wait until it is"
        else:
            self._is_loading = True
            try:
                response.message = await self._switched(session, chosen)
                response.success = True
            except Exception as error:
                response.message = one_line(f"cannot load {chosen.weights!r}: {error}")
                is_kept = self.session is session
                kept = f"; {session.weights} stays in use" if is_kept else ""
                self.get_logger().error(response.message + kept)
                # Not what was asked for meanwhile, and perhaps is loaded.
                if is_kept and self._settings.weights == chosen.weights:
                    self.set_parameters([Parameter("weights", value=session.weights)])
            finally:
                self._is_loading = False
        return response

    async def _on_segment(
        self, request: Segment.Request, response: Segment.Response
    ) -> Segment.Response:
        """Answer for one image, in the worker's thread between the cameras' frames."""
        start = time.monotonic()
        try:
            session = self._segmenting_session()
            while session.is_segmenting():
                await _Turn()
                session = self._segmenting_session()
            answered = session.segment(request.image)
            while not answered.done():
                await _Turn()
            for name, message in answered.result().items():
                setattr(response, "info" if name == LABEL_INFO else name, message)
            response.success = True
            response.message = f"{1e3 * (time.monotonic() - start):.0f} ms"
        except RuntimeError as error:
            response.message = one_line(str(error))
        return response

    def _segmenting_session(self) -> Session:
        """Return the session that takes images; raise RuntimeError where there is none."""
        if self.session is None or self._state != "active":
            raise RuntimeError(f"the node is {self._state}: configure and activate it first")
        if self.session.is_resting:
            raise RuntimeError("the node is paused: call ~/pause with false first")
        return self.session

    async def _switched(self, session: Session, chosen: Parameters) -> str:
        """Load a model, let it take over, free the old one; return what happened."""
        # A daemon, as the worker: nothing waits for it where the process has to end.
        loaded: Future[ServedModel] = Future()
        loading = (chosen, self._warm_up, loaded)
        Thread(target=_load, args=loading, name="loading", daemon=True).start()
        while not loaded.done():
            await _Turn()
        model = loaded.result()
        if self.session is not session:
            raise RuntimeError("the node was cleaned up meanwhile")
        old, old_weights = weakref.ref(session.pipeline), session.weights
        session.take_over(model)
        # The frame in work ends with the old one.
        deadline = time.monotonic() + FREE_SECONDS
        while old() is not None and time.monotonic() < deadline:
            gc.collect()
            await _Turn()
        _free_memory()
        words = f"{model.weights} has taken over from {old_weights}"
        self.get_logger().info(words)
        return words

    # ---- parameters and health

    def _on_parameters(self, changed: list[Parameter]) -> SetParametersResult:
        values = {p.name: p.value for p in changed}
        try:
            for p in changed:
                if p.type_ == Parameter.Type.NOT_SET:
                    raise ValueError(f"{p.name} cannot be deleted; set it to its default instead")
            new = updated(self._settings, values, self._state)
            own = {n: updated(o, values, self._state, f"{n}.") for n, o in self._own.items()}
            chosen = _chosen(new, own)
            if self.session is not None:
                self.session.use(chosen)
        # The caller gets an answer in any case.
        except Exception as error:
            return SetParametersResult(successful=False, reason=one_line(str(error)))
        self._settings, self._own, self._chosen = new, own, chosen
        return SetParametersResult(successful=True)

    def _status(self) -> Status:
        """Return a snapshot; called in the reporter's thread."""
        self._forget_ended()
        session, state = self.session, self._state
        if session is None:
            chosen = self._settings
            topic = "" if chosen.cameras else self.resolve_topic_name("image")
            status = Status(state, weights=chosen.weights, input_topic=topic)
        else:
            status = session.status(state)
        busy = max((s.worker.seconds_in_work() for s in self._ending), default=0.0)
        failed = self._callback_errors.snapshot().counts["callback"]

        def of_node(status: Status) -> Status:
            return replace(
                status, error=self._error, warm_up=self._step, busy=busy, callbacks=failed
            )

        return replace(of_node(status), cameras=tuple(map(of_node, status.cameras)))


def _chosen(settings: Parameters, own: Mapping[str, CameraOwnParameters]) -> dict[str, Parameters]:
    """Return the parameters of each camera, and of the node for ""."""
    return {"": settings, **{name: settings.of(each) for name, each in own.items()}}


class _Turn:
    """Awaited, let the executor do something else."""

    def __await__(self) -> Generator[None, None, None]:
        # The executor comes back at once: without a pause it would take a core from the loading.
        time.sleep(TURN_SECONDS)
        yield


def _load(chosen: Parameters, tell: Callable[[str], None], loaded: Future[ServedModel]) -> None:
    try:
        loaded.set_result(ServedModel(chosen, tell))
    # The service has to answer, whatever a library raises.
    except BaseException as error:
        loaded.set_exception(RuntimeError(_reason(error)))


def _reason(error: BaseException) -> str:
    """Return why a model cannot be loaded."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return f"{error}; {MEMORY_ADVICE}"
    is_told = isinstance(error, (OSError, RuntimeError, ValueError))
    return str(error) if is_told else f"{type(error).__name__}: {error}"


def _free_memory() -> None:
    """Return unreferenced memory to the GPU and to the system."""
    gc.collect()
    torch.cuda.empty_cache()
    # After some cycles the fragments of what was freed are hundreds of megabytes.
    give_back_freed_memory()
